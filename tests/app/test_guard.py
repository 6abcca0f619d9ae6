"""The door by itself: names it is asked by, other sites, tokens, bodies, time; what it adds and what it never tells."""

import asyncio
import json
from typing import Any

import pytest

from amodal.app.guard import COOKIE, Door, Guard, is_loopback
from amodal.app.limits import Limits
from amodal.app.metrics import Metrics
from amodal.core.errors import UsageError

LOOPBACK = Door(host="127.0.0.1", port=8000)
SMALL = Limits(bytes=300, characters=1, texts=1, seconds=1)


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """An app that says how long the body is; /slow takes long, /wrong fails."""
    body = (await receive())["body"]
    if scope["path"] == "/slow":
        await asyncio.sleep(30)
    if scope["path"] == "/wrong":
        raise RuntimeError("a secret in /home/somebody")
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": str(len(body)).encode()})


def ask(
    door: Door = LOOPBACK,
    *,
    path: str = "/",
    method: str = "GET",
    query: str = "",
    body: tuple[bytes, ...] = (b"",),
    limits: Limits = SMALL,
    **headers: str,
) -> tuple[int, dict[str, str], str]:
    """Status, headers and body of one request; header names with _ for -."""
    named = {"host": "127.0.0.1:8000", **{name.replace("_", "-"): value for name, value in headers.items()}}
    scope = {
        "type": "http",
        "path": path,
        "method": method,
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    parts = [{"type": "http.request", "body": part, "more_body": n + 1 < len(body)} for n, part in enumerate(body)]
    sent: list[Any] = []

    async def receive() -> Any:
        return parts.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(Guard(echo, door, limits, Metrics())(scope, receive, send))
    given = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], given, b"".join(each["body"] for each in sent[1:]).decode()


@pytest.mark.parametrize(
    ("host", "right"),
    [
        ("127.0.0.1:8000", True),
        ("localhost:8000", True),
        ("LOCALHOST:8000", True),
        ("[::1]:8000", True),
        ("127.0.0.1", False),
        ("127.0.0.1:8001", False),
        ("evil.example:8000", False),
        ("evil.example", False),
        ("127.0.0.1.evil.example:8000", False),
        ("user@127.0.0.1:8000", False),
        ("127.0.0.1:8000/path", False),
        ("127.0.0.1:99999999", False),
        ("192.168.1.5:8000", False),
        ("", False),
    ],
)
def test_only_its_own_names_are_answered(host: str, right: bool) -> None:
    status, _, body = ask(host=host)
    assert (status == 200) is right
    if not right:
        assert status == 421
        assert "--allow-host" in json.loads(body)["error"]["message"]


def test_names_that_were_allowed_and_addresses_of_a_machine() -> None:
    behind = Door(host="127.0.0.1", port=8000, names=("photos.example",))
    assert behind.knows("photos.example")
    assert behind.knows("Photos.Example:443")
    assert not behind.knows("evil.example")
    everywhere = Door(host="0.0.0.0", port=8000)
    assert everywhere.knows("192.168.1.5:8000")
    assert everywhere.knows("[fe80::1]:8000")
    assert not everywhere.knows("evil.example:8000")  # a name could be pointed here by anybody
    assert not Door(host="10.0.0.7", port=8000).knows("192.168.1.5:8000")
    assert Door(host="127.0.0.1", port=80).knows("localhost")


def test_loopback_is_told_from_the_rest() -> None:
    assert [is_loopback(host) for host in ("127.0.0.1", "localhost", "::1", "127.3.2.1")] == [True] * 4
    assert not any(is_loopback(host) for host in ("0.0.0.0", "::", "10.0.0.1", "example.com", ""))


def test_other_sites_change_nothing() -> None:
    assert ask(method="POST", origin="http://evil.example")[0] == 403
    assert ask(method="POST", origin="null")[0] == 403
    assert ask(method="POST", origin="http://127.0.0.1:9000")[0] == 403
    assert ask(method="POST", sec_fetch_site="cross-site")[0] == 403
    assert ask(method="POST", origin="http://127.0.0.1:8000", sec_fetch_site="same-origin")[0] == 200
    assert ask(method="POST")[0] == 200  # no browser
    status, headers, _ = ask(origin="http://evil.example")
    assert status == 200
    assert not any(name.startswith("access-control") for name in headers)  # so that no browser shows it to that site


def test_every_answer_carries_the_headers_of_safety() -> None:
    for status, headers, _ in (ask(), ask(host="evil"), ask(path="/wrong")):
        assert headers["content-security-policy"].startswith("default-src 'self'; img-src 'self' data: blob:"), status
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == "same-origin"


def test_a_token_is_asked_for_where_there_is_one() -> None:
    door = Door(host="127.0.0.1", port=8000, token="secret-ü")
    for name, value in (("x", ""), ("authorization", "Bearer wrong"), ("cookie", f"{COOKIE}=wrong")):
        given: dict[str, Any] = {name: value}
        status, headers, body = ask(door, path="/api/status", **given)
        assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert "secret" not in body
    door = Door(host="127.0.0.1", port=8000, token="secret")
    assert ask(door, path="/api/status", authorization="Bearer secret")[0] == 200
    assert ask(door, path="/api/status", authorization="bearer  secret")[0] == 200
    assert ask(door, path="/api/status", cookie=f"a=b; {COOKIE}=secret")[0] == 200
    assert ask(door, path="/health")[0] == 200
    assert ask(door, path="/metrics")[0] == 401


def test_a_token_in_the_address_becomes_a_cookie() -> None:
    door = Door(host="127.0.0.1", port=8000, token="secret")
    status, headers, _ = ask(door, query="token=secret")
    assert (status, headers["location"]) == (303, "/")
    assert headers["set-cookie"].startswith(f"{COOKIE}=secret; HttpOnly; SameSite=Strict; Path=/")
    assert "Secure" not in headers["set-cookie"]
    assert "Secure" in ask(door, query="token=secret", x_forwarded_proto="https")[1]["set-cookie"]
    status, headers, _ = ask(door, query="token=wrong")  # the page itself is for everybody, and says what is missing
    assert (status, "set-cookie" in headers) == (200, False)
    assert ask(door, path="/page/main.js")[0] == 200
    assert ask(door, path="/api/status", query="token=secret")[0] == 401  # addresses stand in logs


def test_bodies_are_limited_whether_or_not_they_say_their_length() -> None:
    most = SMALL.body
    assert ask(method="POST", body=(b"x" * most,))[2] == str(most)
    for status, _, body in (
        ask(method="POST", content_length=str(most + 1)),
        ask(method="POST", body=tuple([b"x" * 50_000] * 3)),
        ask(method="POST", content_length="5", body=(b"x" * (most + 1),)),
    ):
        assert status == 413
        assert f"{most:,} bytes" in json.loads(body)["error"]["message"]


def test_time_is_limited() -> None:
    status, _, body = ask(path="/slow")
    assert status == 504
    assert "longer than the service allows" in body


def test_what_goes_wrong_inside_stays_inside(caplog: pytest.LogCaptureFixture) -> None:
    status, headers, body = ask(path="/wrong")
    assert (status, headers["content-type"]) == (500, "application/json")
    assert "secret" not in body
    assert "Traceback" not in body
    assert "RuntimeError" in caplog.text


def test_limits_are_set_by_name() -> None:
    assert Limits().changed(["pixels=20", "seconds=5"]) == Limits(pixels=20, seconds=5)
    for wrong in ("pixel=20", "pixels=", "pixels=0", "pixels=-1", "pixels=1e6", "pixels"):
        with pytest.raises(UsageError, match="is no limit; give name=value"):
            Limits().changed([wrong])
