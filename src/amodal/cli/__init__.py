"""The command line: one file a verb; parses, calls, prints. No logic."""

import os

# before torch: threads that wait leave their core to what else runs
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

from amodal.cli.main import main

__all__ = ["main"]
