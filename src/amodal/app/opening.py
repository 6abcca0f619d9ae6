"""A service that opens in a thread of its own, so that the door answers while the model is loaded."""

import threading
from collections.abc import Callable

from amodal.app.refusals import Refused
from amodal.app.service import Service


class Opening:
    """failed: called when it could not be opened, with `error` set."""

    def __init__(self, make: Callable[[], Service], failed: Callable[[], None]) -> None:
        self.error: BaseException | None = None
        self.stopping = False
        self._make, self._failed, self._service = make, failed, None
        self._thread = threading.Thread(target=self._open, name="opening", daemon=True)

    def start(self) -> None:
        """Begins to open it."""
        self._thread.start()

    @property
    def service(self) -> Service:
        """The service. Raises Refused while it is not open."""
        if self._service is None:
            raise Refused(503, "the model is being loaded; ask again in a moment")
        return self._service

    def close(self) -> None:
        """Closes it when it has opened."""
        self.stopping = True
        self._thread.join()
        if self._service is not None:
            self._service.close()

    def _open(self) -> None:
        try:
            self._service = self._make()
        except Exception as error:
            self.error = error
            self._failed()
