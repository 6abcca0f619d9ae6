"""The door: who may ask, how much, and for how long; before anything else sees a request, and after it is answered.

Plain ASGI, so that nothing that answers can forget it.
"""

import asyncio
import hmac
import ipaddress
import json
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from amodal.app.deadline import set_deadline, too_late
from amodal.app.limits import Limits
from amodal.app.metrics import Metrics
from amodal.app.refusals import UNEXPECTED, Refused

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

COOKIE = "amodal_token"
OPEN_TO_ALL = ("/health", "/")
PAGE = "/page/"
"""Files of the page hold nothing secret, and it says what is missing better than a bare answer."""

STREAMS = ("/api/index/progress",)
"""Answers that take as long as what they tell of."""

MOST_STREAMS = 64

HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; frame-ancestors 'self'; "
    "base-uri 'none'; form-action 'self'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_READING = ("GET", "HEAD", "OPTIONS")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
logger = logging.getLogger("amodal.serve")


@dataclass(frozen=True, kw_only=True)
class Door:
    """host, port: where the service is bound; names: further names that it is asked by, with any port; token: what who
    asks must show, "" for nothing."""

    host: str
    port: int
    names: tuple[str, ...] = ()
    token: str = ""

    def knows(self, authority: str) -> bool:
        """Whether a Host header names this service: so no other site's name can be made to point here."""
        try:
            parts = urlsplit(f"//{authority}")
            name, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return False
        if not name or parts.username is not None or parts.path:
            return False
        if name in (each.lower() for each in self.names):
            return True
        mine = name in _LOOPBACK or name == self.host.lower() or (is_everywhere(self.host) and _is_address(name))
        return mine and (80 if port is None else port) == self.port


def is_everywhere(host: str) -> bool:
    """Whether a service bound to this host listens at all addresses of the machine."""
    return host in ("", "0.0.0.0", "::")


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a service that is bound to this host."""
    return host == "localhost" or (_is_address(host) and ipaddress.ip_address(host).is_loopback)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


class Guard:
    """An ASGI app around another one."""

    def __init__(self, app: App, door: Door, limits: Limits, metrics: Metrics) -> None:
        self.app, self.door, self.limits, self.metrics = app, door, limits, metrics
        self.active, self.bytes = Counter[str](), 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Lets a request through, or answers it."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        await _Request(self, scope, receive, send).answered()


class _Request:
    """One request on its way."""

    def __init__(self, guard: Guard, scope: Message, receive: Receive, send: Send) -> None:
        self.guard, self.scope, self.receive, self.send = guard, scope, receive, send
        self.headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        self.status, self.held = 0, 0

    async def answered(self) -> None:
        """Answers it in any case."""
        guard, started = self.guard, time.monotonic()
        guard.metrics.began()
        try:
            await self._in_time()
        except Refused as refused:
            await self._refuse(refused)
        except Exception as error:
            logger.exception("unexpected %s at %s", type(error).__name__, self.scope["path"])
            await self._refuse(Refused(500, UNEXPECTED))
        finally:
            guard.bytes -= self.held
            route = self.scope.get("route")
            endpoint = getattr(route, "path", None) or "other"
            guard.metrics.ended(self.scope["method"], endpoint, self.status, time.monotonic() - started)

    async def _in_time(self) -> None:
        self._check_host()
        self._check_origin()
        if await self._given_cookie():
            return
        self._check_token()
        if self.scope["path"] in STREAMS and self.scope["method"] == "GET":
            with self._counted(most=MOST_STREAMS, kind="stream"):
                await self.guard.app(self.scope, self.receive, self._sending)
            return
        try:
            async with asyncio.timeout(self.guard.limits.seconds):
                set_deadline(self.guard.limits.seconds)
                receive = await self._read()
                with self._counted(most=self.guard.limits.requests):
                    await self.guard.app(self.scope, receive, self._sending)
        except TimeoutError:
            raise too_late() from None

    @contextmanager
    def _counted(self, *, most: int, kind: str = "request") -> Iterator[None]:
        """Counts what is worked on. Raises Refused where that is more than `most`."""
        guard = self.guard
        if guard.active[kind] >= most:
            raise Refused(503, "the service has more to do than it can; ask again in a moment")
        guard.active[kind] += 1
        try:
            yield
        finally:
            guard.active[kind] -= 1

    def _check_host(self) -> None:
        host = self.headers.get("host", "")
        if not self.guard.door.knows(host):
            raise Refused(
                421,
                f"this service is not {host!r}; ask it by the address that it printed, or start it with "
                "--allow-host NAME",
            )

    def _check_origin(self) -> None:
        """No page of another site may change anything here."""
        if self.scope["method"] in _READING:
            return
        origin = self.headers.get("origin")
        other = origin is not None and urlsplit(origin).netloc.lower() != self.headers.get("host", "").lower()
        if other or self.headers.get("sec-fetch-site") == "cross-site":
            raise Refused(403, "this request comes from a page of another site, and is refused")

    async def _given_cookie(self) -> bool:
        """/?token=T gives the cookie and shows the page without the token in its address."""
        if not (self.guard.door.token and self.scope["path"] == "/" and self.scope["method"] == "GET"):
            return False
        (given, *_) = parse_qs(self.scope["query_string"].decode("latin-1")).get("token", [""])
        if not given or not self._is_token(given):
            return False
        secure = "; Secure" if self.headers.get("x-forwarded-proto") == "https" else ""
        cookie = f"{COOKIE}={self.guard.door.token}; HttpOnly; SameSite=Strict; Path=/; Max-Age=31536000{secure}"
        headers = [(b"location", b"/"), (b"set-cookie", cookie.encode()), (b"cache-control", b"no-store")]
        await self._sending({"type": "http.response.start", "status": 303, "headers": headers})
        await self._sending({"type": "http.response.body", "body": b""})
        return True

    def _check_token(self) -> None:
        path = self.scope["path"]
        if not self.guard.door.token or path in OPEN_TO_ALL or path.startswith(PAGE):
            return
        kind, _, bearer = self.headers.get("authorization", "").partition(" ")
        try:
            cookie = SimpleCookie(self.headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        shown = bearer.strip() if kind.lower() == "bearer" else "" if cookie is None else cookie.value
        if not self._is_token(shown):
            raise Refused(
                401,
                "this needs the token that the service was started with; send it as Authorization: Bearer TOKEN, or "
                "open /?token=TOKEN in a browser",
            )

    def _is_token(self, shown: str) -> bool:
        return hmac.compare_digest(shown.encode("utf-8", "replace"), self.guard.door.token.encode())

    async def _read(self) -> Receive:
        """The whole body, within its limits, before anything works on it."""
        length = self.headers.get("content-length", "0")
        self._check_body(int(length) if length.isdecimal() else 0)
        parts, more = list[bytes](), True
        while more:
            message = await self.receive()
            if message["type"] == "http.disconnect":
                raise Refused(400, "the request ended before its body did")
            part = message.get("body", b"")
            more = message.get("more_body", False)
            parts.append(part)
            self.held += len(part)
            self.guard.bytes += len(part)
            self._check_body(self.held)
            if self.guard.bytes > self.guard.limits.bodies:
                raise Refused(503, "the service holds as many bytes of requests as it can; ask again in a moment")
        given = iter([{"type": "http.request", "body": b"".join(parts), "more_body": False}])

        async def receive() -> Message:
            return next(given, None) or await self.receive()

        return receive

    def _check_body(self, size: int) -> None:
        if size > self.guard.limits.body:
            raise Refused(
                413,
                f"the request has more than the {self.guard.limits.body:,} bytes that are allowed; send smaller "
                "pictures, or fewer at once",
            )

    async def _sending(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message.get("headers", [])}
            added = [(name.encode(), value.encode()) for name, value in HEADERS.items() if name.encode() not in given]
            message = {**message, "headers": [*message.get("headers", []), *added]}
        await self.send(message)

    async def _refuse(self, refused: Refused) -> None:
        if self.status:
            return  # the answer has begun, and can only be cut off
        body = json.dumps(refused.to_json()).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        extra = {401: (b"www-authenticate", b"Bearer"), 503: (b"retry-after", b"1")}.get(refused.status)
        await self._sending(
            {
                "type": "http.response.start",
                "status": refused.status,
                "headers": [*headers, *([extra] if extra else [])],
            }
        )
        await self._sending({"type": "http.response.body", "body": body})
