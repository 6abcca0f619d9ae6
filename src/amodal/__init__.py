"""amodal: one representation of a thing, whichever sense it came through."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Nothing heavy is imported before it is needed: `import amodal` must stay under 0.15 s.
    if name == "load":
        from amodal.inference import load

        return load
    raise AttributeError(f"module 'amodal' has no attribute {name!r}")
