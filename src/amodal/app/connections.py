"""Connections that ask for nothing do not keep others out: how long one may be silent, and who goes when all are taken.

Given an h11 protocol of uvicorn to build on, so that only `server.py` imports uvicorn.
"""

import asyncio
import json
from typing import Any

from amodal.app.limits import Limits
from amodal.app.refusals import refusal

SILENT_SECONDS = 10
"""Within which a new connection must have asked for something, and one that was answered must have sent its rest."""


def limited(protocol: Any, limits: Limits) -> Any:
    """The protocol (`uvicorn.protocols.http.h11_impl.H11Protocol`) with these limits on its connections."""

    class Limited(protocol):
        """A connection that is watched."""

        def connection_made(self, transport: asyncio.Transport) -> None:
            super().connection_made(transport)
            self.since, self.turned_away, self.silence = self.loop.time(), False, None
            self._watch()
            if len(self.connections) > limits.connections:
                self._make_room()

        def connection_lost(self, exc: Exception | None) -> None:
            if self.silence is not None:
                self.silence.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if not self.turned_away:
                super().data_received(data)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            self.since = self.loop.time()
            self._watch()

        def send_400_response(self, msg: str) -> None:
            self.turn_away(400, "Bad Request", "this is no HTTP request that can be read")

        @property
        def waits(self) -> bool:
            """Whether nothing is worked on: it has asked for nothing yet, or not sent all of what it asks."""
            return self.cycle is None or self.cycle.response_complete or self.cycle.more_body

        def turn_away(self, status: int, phrase: str, message: str) -> None:
            """Ends the connection with a refusal, where no answer has begun."""
            self.turned_away = True
            if self.cycle is None or not self.cycle.response_started:
                self.transport.write(_answer(f"{status} {phrase}", message))
            self.transport.close()

        def _watch(self) -> None:
            if self.silence is not None:
                self.silence.cancel()
            self.silence = self.loop.call_later(SILENT_SECONDS, self._silent)

        def _silent(self) -> None:
            """Nothing whole was asked since it was opened or answered."""
            asked = self.cycle is not None and not self.cycle.response_complete
            if not asked and not self.transport.is_closing():
                self.turn_away(408, "Request Timeout", f"no whole request came within {SILENT_SECONDS} seconds")

        def _make_room(self) -> None:
            """The connection that has waited for the longest goes; this one, where all are worked on."""
            others = [each for each in self.connections if each is not self and each.waits and not each.turned_away]
            goes = min(others, key=lambda each: each.since, default=self)
            goes.turn_away(503, "Service Unavailable", "too many connections are open; ask again in a moment")

    return Limited


def _answer(status: str, message: str) -> bytes:
    body = json.dumps(refusal(message)).encode()
    head = ("content-type: application/json", f"content-length: {len(body)}", "connection: close", "", "")
    return f"HTTP/1.1 {status}\r\n".encode() + "\r\n".join(head).encode() + body
