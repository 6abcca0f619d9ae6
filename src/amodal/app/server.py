"""`serve`: the service behind its door, on a socket, until a signal (uvicorn of `amodal[serve]`, imported here alone).

SIGTERM and Ctrl-C finish what is being answered; what comes later is not let in.
"""

import logging
import secrets
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from amodal.app.connections import SILENT_SECONDS, limited
from amodal.app.endpoints import application
from amodal.app.guard import Door, Guard, is_everywhere, is_loopback
from amodal.app.limits import Limits
from amodal.app.metrics import Metrics
from amodal.app.opening import Opening
from amodal.app.service import Service, Setup
from amodal.core.errors import DataError, UsageError

SPARE_FILES = 128
"""Files that are open beside the connections."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a service is bound, and what those who ask must know. names: further names that it is asked by; token: ""
    for none on loopback, and one that is made elsewhere."""

    host: str = "127.0.0.1"
    port: int = 8000
    names: tuple[str, ...] = ()
    token: str = ""


def serve(setup: Setup, place: Place, say: Callable[[str], None]) -> None:
    """Answers until a signal. Raises DataError where it cannot be bound, and what `Service` raises."""
    if not place.token.isascii():
        raise UsageError("a token is sent in a header and is made of ASCII characters; give another --token")
    bound = _bound(place)
    port = bound.getsockname()[1]
    token = place.token or ("" if is_loopback(place.host) else secrets.token_urlsafe(24))
    names = (*place.names, *([socket.gethostname()] if is_everywhere(place.host) else []))
    door = Door(host=place.host, port=port, names=names, token=token)
    metrics = Metrics()
    server: list[uvicorn.Server] = []

    def failed() -> None:
        server[0].should_exit = True

    def stopping() -> bool:
        return server[0].should_exit

    def opened() -> Service:
        service = Service(setup, metrics.batch)
        say(f"model: {service.model.name}; ready")
        return service

    opening = Opening(opened, failed=failed, stopping=stopping)
    app = Guard(application(opening, metrics, setup.runs), door, setup.limits, metrics)
    server.append(uvicorn.Server(_config(app, _with_files(setup.limits))))
    say(f"http://{_shown(place.host)}:{port}/{f'?token={token}' if token else ''}  (Ctrl-C stops)")
    server[0].run(sockets=[bound])
    if opening.error is not None:
        raise opening.error


def _shown(host: str) -> str:
    if is_everywhere(host):
        return socket.gethostname()
    return f"[{host}]" if ":" in host else host


def _bound(place: Place) -> socket.socket:
    family = socket.AF_INET6 if ":" in place.host else socket.AF_INET
    # asyncio sends small answers at once (TCP_NODELAY) only where the protocol is named; else each waits for 40 ms
    bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((place.host, place.port))
    except (OSError, OverflowError) as error:
        bound.close()
        raise DataError(
            f"the service cannot be bound to {place.host}, port {place.port} ({error}); give another --host or --port"
        ) from error
    return bound


def _with_files(limits: Limits) -> Limits:
    """The limits, with no more connections than this process may have open files."""
    try:
        import resource
    except ImportError:  # not on Windows, which has no such limit
        return limits
    wanted = limits.connections + SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, more), hard))
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return replace(limits, connections=max(1, min(limits.connections, soft - SPARE_FILES)))
    return limits


def _config(app: Any, limits: Limits) -> uvicorn.Config:
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    return uvicorn.Config(
        app,
        http=limited(H11Protocol, limits),
        ws="none",
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=SILENT_SECONDS,
        timeout_graceful_shutdown=limits.seconds + 5,
        backlog=limits.connections,
    )
