"""amodal: one representation of a thing, whichever sense it came through."""

from typing import Any

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    # Nothing heavy is imported before it is needed: `import amodal` must stay under 0.15 s.
    if name in ("load", "load_fused"):
        from amodal import inference

        return getattr(inference, name)
    raise AttributeError(f"module 'amodal' has no attribute {name!r}")
