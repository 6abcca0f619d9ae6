"""The command line: one file a verb; parses, calls, prints. No logic."""

from amodal.cli.main import main

__all__ = ["main"]
