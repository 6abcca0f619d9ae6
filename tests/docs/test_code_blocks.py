"""Every code block of the README and the docs runs, in page order, in a folder that holds the bundled photographs.

Blocks of one page share one folder and, if they are Python, one namespace. By the word behind the fence:
    python     executed here
    console    each line `$ amodal ...` is called here, or in a shell where it has a sign for one; others are output
    bash, sh   shown only, unless `<!-- run -->` stands above it
`<!-- not run: reason -->` above a block leaves it out; `<!-- slow -->` anywhere makes the page a slow test.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
NOT_RUN_LIMIT = 8
COMMAND_SECONDS = 900

FENCE = re.compile(r"^(?P<indent> *)(?P<ticks>`{3,}|~{3,}) *(?P<language>[\w+-]*)")
SHELL_SIGN = re.compile(r"[*?|&;<>$`~]")
MARK = re.compile(r"^\s*<!--\s*(?P<mark>not run|run|slow)\s*(?::\s*(?P<reason>.*?))?\s*-->\s*$")

Cli = Callable[..., Any]


class Block(NamedTuple):
    """One fenced block. line: of its first line of code; mark: the comment that stands above it."""

    line: int
    language: str
    text: str
    mark: str

    @property
    def runs(self) -> bool:
        """Whether the test executes it."""
        wanted = self.language in ("python", "console") or (self.language in ("bash", "sh") and self.mark == "run")
        return wanted and self.mark != "not run"

    @property
    def is_left_out(self) -> bool:
        """Whether it would run if it were not marked."""
        return self.mark == "not run"


def read_blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown page, in order; a mark counts when only blank lines lie between."""
    blocks: list[Block] = []
    lines = text.splitlines()
    mark, number = "", 0
    while number < len(lines):
        line = lines[number]
        number += 1
        if found := MARK.match(line):
            mark = found["mark"]
            if mark == "not run" and not found["reason"]:
                raise ValueError(f"line {number}: say why: <!-- not run: reason -->")
        elif fence := FENCE.match(line):
            first = number
            closing = re.compile(rf"^ *{fence['ticks'][0]}{{{len(fence['ticks'])},}} *$")
            while number < len(lines) and not closing.match(lines[number]):
                number += 1
            if number == len(lines):
                raise ValueError(f"line {first}: this code block is never closed")
            indent = len(fence["indent"])
            body = "\n".join(row[indent:] if row[:indent].isspace() else row for row in lines[first:number])
            blocks.append(Block(first + 1, fence["language"], body, mark))
            mark, number = "", number + 1
        elif line.strip():
            mark = ""
    return blocks


def commands_of(block: Block) -> list[str]:
    """The command lines of a block: all of a shell block, the `$ ` lines of a console block (backslash continues)."""
    if block.language != "console":
        return [block.text]
    joined = block.text.replace("\\\n", " ")
    commands = [line[2:] for line in joined.splitlines() if line.startswith("$ ")]
    if not commands:
        raise ValueError(f"line {block.line}: a console block without a line `$ amodal ...`")
    for command in commands:
        if command.split()[:1] != ["amodal"]:
            raise ValueError(f"line {block.line}: `{command}` does not start with amodal; use a bash block to show it")
    return commands


def run_command(command: str, folder: Path, page: str, line: int) -> None:
    """Runs one command line in `folder`, with this environment's programs first."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = os.environ | {"PATH": path, "HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    call = ["bash", "-euo", "pipefail", "-c", command]
    done = subprocess.run(
        call, cwd=folder, env=environment, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False
    )
    if done.returncode:
        said = f"{done.stdout}\n{done.stderr}"[-4000:]
        raise AssertionError(f"{page}:{line}: `{command}` ended with {done.returncode}\n{said}")


def call_command(command: str, page: str, line: int, cli: Cli) -> None:
    """Calls `amodal ...` in this process: to start another for each line would take most of the time of a page."""
    answer = cli(*shlex.split(command)[1:])
    if answer.code:
        raise AssertionError(f"{page}:{line}: `{command}` ended with {answer.code}\n{answer.out}\n{answer.err[-4000:]}")


def run_page(text: str, folder: Path, page: str, cli: Cli) -> int:
    """Runs the blocks of a page in `folder` (the caller has made it the working folder). -> how many ran"""
    namespace: dict[str, Any] = {"__name__": "__page__"}
    ran = 0
    for block in read_blocks(text):
        if not block.runs:
            continue
        ran += 1
        if block.language == "python":
            # The blank lines make a traceback name the page's own line.
            code = compile("\n" * (block.line - 1) + block.text, page, "exec")
            exec(code, namespace)
            continue
        for command in commands_of(block):
            if block.language != "console" or SHELL_SIGN.search(command):
                run_command(command, folder, page, block.line)
            else:
                call_command(command, page, block.line, cli)
    return ran


def copy_photos(folder: Path) -> None:
    """Puts the bundled photographs into the folder, under their own names."""
    from amodal.data import bundled

    copied = [shutil.copy(photo, folder) for photo in bundled.photos().values()]
    assert copied, "no bundled photographs were found"


def page_parameters() -> list[Any]:
    """One parameter a page that has a block to run; slow where the page says so."""
    parameters = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if any(block.runs for block in read_blocks(text)):
            marks = [pytest.mark.slow] if re.search(r"^\s*<!--\s*slow\s*-->\s*$", text, re.MULTILINE) else []
            parameters.append(pytest.param(page, id=page.relative_to(ROOT).as_posix(), marks=marks))
    return parameters


@pytest.mark.parametrize("page", page_parameters())
def test_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    copy_photos(tmp_path)
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    assert run_page(page.read_text(encoding="utf-8"), tmp_path, page.relative_to(ROOT).as_posix(), cli) > 0


def test_blocks_are_found_and_few_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [block for page in PAGES for block in read_blocks(page.read_text(encoding="utf-8"))]
    ran, left_out = sum(block.runs for block in blocks), sum(block.is_left_out for block in blocks)
    with capsys.disabled():
        print(f"\ncode blocks of README and docs: {ran} run, {left_out} left out, {len(blocks)} in all")
    assert ran >= 1, "no code block of the docs is run: the reader of the pages is broken"
    assert left_out <= NOT_RUN_LIMIT


SAMPLE = """
```python
x = 20
```
<!-- not run: needs a camera -->

```python
raise SystemExit
```
```text
neither this
```
```bash
exit 1
```
<!-- run -->
```bash
echo made > made.txt
```
1. in a list
   ```python
   assert open("made.txt").read().strip() == "made"
   y = x + 1
   ```
"""


def test_sample_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_page(SAMPLE, tmp_path, "sample.md", cli) == 3
    assert [block.runs for block in read_blocks(SAMPLE)] == [True, False, False, False, True, True]
    assert sum(block.is_left_out for block in read_blocks(SAMPLE)) == 1


@pytest.mark.parametrize(
    ("page", "error"),
    [
        ("```python\nassert 1 == 2\n```\n", AssertionError),
        ("<!-- run -->\n```bash\nfalse | true\n```\n", AssertionError),
        ("```console\n$ amodal no-such-verb\n```\n", AssertionError),
        ("```console\n$ amodal no-such-verb *\n```\n", AssertionError),
        ("```console\n$ rm -r everything\n```\n", ValueError),
        ("```console\nonly output\n```\n", ValueError),
        ("```python\nx = 1\n", ValueError),
        ("<!-- not run -->\n```python\nx = 1\n```\n", ValueError),
    ],
)
def test_bad_page_is_caught(
    page: str, error: type[Exception], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error):
        run_page(page, tmp_path, "bad.md", cli)


def test_traceback_names_the_line_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError) as caught:
        run_page("# Title\n\n```python\n1 / 0\n```\n", tmp_path, "bad.md", cli)
    last = caught.traceback[-1]
    assert (str(last.path).endswith("bad.md"), last.lineno + 1) == (True, 4)


def test_continued_command_is_one() -> None:
    page = '```console\n$ amodal classify a.png \\\n    --labels "a,b"\na 0.9\n$ amodal recipes\n```\n'
    commands = commands_of(read_blocks(page)[0])
    assert [command.split()[1] for command in commands] == ["classify", "recipes"]
    assert commands[0].endswith('--labels "a,b"')
