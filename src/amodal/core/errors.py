"""Errors a person can mend. Each says what happened, where (file and row), and what to do."""


class AmodalError(Exception):
    """Base of every error that is the user's to mend; the command line prints it without a traceback (exit 1)."""


class Interrupted(BaseException):
    """A signal asked to stop where nothing has to be finished first; `signal_number` says which."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal_number)
        self.signal_number = signal_number


class UsageError(AmodalError):
    """The call itself is wrong: an unknown name, a bad value, a missing argument (exit 2)."""


class DataError(AmodalError):
    """The data cannot be used: a missing file or column, too many broken rows, an unreadable folder."""


class RecipeError(UsageError):
    """A recipe does not say a valid run: an unknown key, a wrong type, a combination that cannot work."""


class RunError(AmodalError):
    """A run folder is missing, incomplete, of another schema, or belongs to another recipe."""


class WeightsError(AmodalError):
    """Weights are not what they should be: a wrong checksum, a missing or misshapen tensor, an unsafe format."""
