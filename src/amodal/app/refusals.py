"""Why a request is not answered: a status, a message, and the field that it is about."""

from typing import Any

UNEXPECTED = "something unexpected happened; the log of the service tells more"


class Refused(Exception):
    """A request that is not answered. field: where in its body the reason lies, as "terms.0.weight"."""

    def __init__(self, status: int, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.field = status, message, field

    def to_json(self) -> dict[str, Any]:
        """The body of the answer."""
        return refusal(self.message, self.field)


def refusal(message: str, field: str | None = None) -> dict[str, Any]:
    """The body of every answer that is an error."""
    return {"error": {"message": message, "field": field}}
