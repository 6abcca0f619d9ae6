"""Python's pickles, read by an unpickler that can build arrays and plain values and nothing else."""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from amodal.core.errors import DataError

PICKLE_ERRORS = (pickle.UnpicklingError, EOFError, LookupError, ValueError, TypeError, AttributeError, MemoryError)


def plain_pickle(content: bytes, encoding: str) -> Any:
    """What a pickle holds; encoding: of Python 2's texts, or "bytes". Raises one of `PICKLE_ERRORS`."""
    return _PlainUnpickler(io.BytesIO(content), encoding=encoding, errors="replace").load()


def not_a_pickle(path: Path, what: str, error: Exception) -> DataError:
    """The message for a file that is no `what`."""
    return DataError(f"{path} is no {what}: {str(error) or type(error).__name__}; unpack the archive again")


class _PlainUnpickler(pickle.Unpickler):
    """Builds numpy arrays and plain values; any other name in the pickle is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.empty(0).__reduce__()[0]
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is not allowed")


def _latin1(text: str, encoding: str = "latin1") -> bytes:
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it asks for the encoding {encoding}, which is not allowed")
    return text.encode("latin1")
