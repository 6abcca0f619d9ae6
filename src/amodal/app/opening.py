"""A service that opens in a thread of its own, so that the door answers while the model is loaded."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from amodal.app.refusals import Refused
from amodal.app.service import Service


class Opening:
    """make: opens it; failed: called when that does not work; stopping: whether no more is to be begun."""

    def __init__(
        self, make: Callable[[], Service], *, failed: Callable[[], None], stopping: Callable[[], bool]
    ) -> None:
        self.stopping = stopping
        self._make, self._failed = make, failed
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="opening")
        self._made: Future[Service] = Future()

    def start(self) -> None:
        """Begins to open it."""
        self._made = self._pool.submit(self._make)
        self._made.add_done_callback(lambda made: self._failed() if made.exception() else None)

    @property
    def service(self) -> Service:
        """The service. Raises Refused while it is not open."""
        if not self._made.done():
            raise Refused(503, "the model is being loaded; ask again in a moment")
        return self._made.result()

    @property
    def error(self) -> BaseException | None:
        """Why it could not be opened, once that is known."""
        return self._made.exception() if self._made.done() else None

    def close(self) -> None:
        """Closes it, once it has opened."""
        self._pool.shutdown()
        if self.error is None and self._made.done():
            self._made.result().close()
