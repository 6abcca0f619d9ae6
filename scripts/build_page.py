"""Brings the libraries of the web page into `src/amodal/app/page/vendor/`, with their licences and a list of them.

    python scripts/build_page.py           npm fetches the pinned packages into scripts/page/, the files are written
    python scripts/build_page.py --check   the same, compared with what is there; exit code 1 where it differs

A browser finds no package by its name without a build step or an inline import map, which the page's
Content-Security-Policy refuses: names of packages in imports become the paths of the files beside them. Nothing else
of the files is changed but that they name no source map.
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
SOURCES = REPOSITORY / "scripts/page"
VENDOR = REPOSITORY / "src/amodal/app/page/vendor"
# File of ours -> package, its file, and how others import it.
FILES = {
    "preact.js": ("preact", "dist/preact.mjs", "preact"),
    "hooks.js": ("preact", "hooks/dist/hooks.mjs", "preact/hooks"),
    "signals-core.js": ("@preact/signals-core", "dist/signals-core.module.js", "@preact/signals-core"),
    "signals.js": ("@preact/signals", "dist/signals.module.js", "@preact/signals"),
    "htm.js": ("htm", "dist/htm.module.js", "htm"),
    "pico.css": ("@picocss/pico", "css/pico.min.css", ""),
}
IMPORT = re.compile(r'((?:from|import)\s*)"([^"./][^"]*)"')
SOURCE_MAP = re.compile(r"\n?//# sourceMappingURL=\S+\s*$")


def localised(text: str) -> str:
    """The module with packages imported by path. Raises KeyError where it imports one that is not in FILES."""
    path_of = {name: f"./{ours}" for ours, (_, _, name) in FILES.items() if name}
    return IMPORT.sub(lambda found: f'{found[1]}"{path_of[found[2]]}"', SOURCE_MAP.sub("\n", text))


def licence_file(package: Path) -> Path:
    """The licence that a package carries."""
    return next(path for path in sorted(package.iterdir()) if path.name.lower().startswith("licen"))


def built(modules: Path) -> dict[str, bytes]:
    """Everything that belongs into the folder, by its name there."""
    made, listed = {}, []
    for ours, (package, theirs, _) in FILES.items():
        said = json.loads((modules / package / "package.json").read_text(encoding="utf-8"))
        text = (modules / package / theirs).read_text(encoding="utf-8")
        made[ours] = (localised(text) if ours.endswith(".js") else text).encode()
        licence = f"LICENSES/{package.strip('@').replace('/', '-')}.txt"
        made[licence] = licence_file(modules / package).read_bytes()
        facts = {"file": ours, "package": package, "version": said["version"], "from": theirs}
        listed.append({**facts, "sha256": hashlib.sha256(made[ours]).hexdigest(), "license": said["license"]})
        listed[-1]["license_file"] = licence
    made["vendor.json"] = (json.dumps(listed, indent=2) + "\n").encode()
    return made


def main() -> int:
    """Builds or checks. -> the exit code"""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; say what differs")
    check = parser.parse_args().check
    subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=SOURCES, check=True)
    made = built(SOURCES / "node_modules")
    there = {path.relative_to(VENDOR).as_posix(): path for path in VENDOR.rglob("*") if path.is_file()}
    differ = sorted(
        name for name in made.keys() | there if name not in there or there[name].read_bytes() != made.get(name)
    )
    if check:
        print("\n".join(differ) or "nothing differs")
        return int(bool(differ))
    for name, data in made.items():
        path = VENDOR / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    for name in there.keys() - made.keys():
        there[name].unlink()
    print(f"{VENDOR}: {len(FILES)} files, {sum(len(made[name]) for name in FILES):,} bytes, {len(differ)} changed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
