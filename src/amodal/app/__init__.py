"""The HTTP service: `serve`, over the same calls as the command line. `pip install amodal[serve]`."""

from amodal.app.limits import Limits

__all__ = ["Limits"]
