"""What strangers may send: a clear refusal each, and the service goes on."""

import base64
import io
import json
import os
import socket
import struct
import threading
import time
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def goes_on(served: Any) -> Iterator[None]:
    """After each attack the service answers as before, and has told nobody where its code lies."""
    yield
    path = next(served.folder.glob("*.png")).name
    answer = served.post("/api/classify", {"pictures": [{"path": path}], "labels": ["a", "b"]})
    assert answer.status_code == 200, answer.text


def refused(answer: Any, status: int, said: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    error = answer.json()["error"]
    assert said in error["message"]
    assert "Traceback" not in answer.text
    assert "site-packages" not in answer.text
    return error


def classify(served: Any, picture: dict[str, Any]) -> Any:
    return served.post("/api/classify", {"pictures": [picture], "labels": ["a", "b"]})


def upload(data: bytes) -> dict[str, str]:
    return {"data": base64.b64encode(data).decode()}


def memory(served: Any) -> float:
    """Megabytes that the service has held at most."""
    status = Path(f"/proc/{served.process.pid}/status")
    if not status.exists():
        pytest.skip("only Linux tells the memory of a process")
    return next(int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")) / 1024


def head(served: Any, *lines: str, method: str = "POST", path: str = "/api/classify") -> bytes:
    named = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{served.port}", "Content-Type: application/json", *lines]
    return "\r\n".join([*named, "", ""]).encode()


def whole(connection: socket.socket) -> bytes:
    """An answer that is an error, which may come in pieces."""
    answer = b""
    while not answer.endswith(b"}") and (part := connection.recv(65536)):
        answer += part
    return answer


def raw(served: Any, *parts: bytes) -> bytes:
    """Whatever is answered to these bytes."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        for part in parts:
            connection.sendall(part)
        return connection.recv(65536)


@pytest.mark.parametrize("how", ["Content-Length: 1073741824", "Transfer-Encoding: chunked"])
def test_a_gigabyte_is_refused_before_it_is_there(served: Any, how: str) -> None:
    part = b"x" * (1 << 20)
    part = b"100000\r\n" + part + b"\r\n" if "chunked" in how else part
    before, sent = memory(served), 0
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(head(served, how))
        answers: list[bytes] = []
        reading = threading.Thread(target=lambda: answers.append(whole(connection)))
        reading.start()
        while reading.is_alive() and sent < 1 << 30:
            try:
                connection.sendall(part)
            except OSError:  # it does not listen any more
                break
            sent += len(part)
        reading.join(60)
    (answer,) = answers
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"are allowed; send smaller pictures" in answer
    assert sent < 200 << 20
    assert memory(served) - before < 300


@pytest.mark.slow
def test_who_sends_the_whole_gigabyte_reads_the_refusal_afterwards(served: Any) -> None:
    part, before = b"x" * (1 << 20), memory(served)
    with socket.create_connection(("127.0.0.1", served.port), timeout=120) as connection:
        connection.sendall(head(served, "Content-Length: 1073741824"))
        for _ in range(1 << 10):
            try:
                connection.sendall(part)
            except OSError:  # it was given ten seconds
                break
        try:
            answer = connection.recv(65536)
        except OSError:
            answer = b""
    assert answer == b"" or answer.startswith(b"HTTP/1.1 413 ")
    assert memory(served) - before < 200


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def huge_png(side: int) -> bytes:
    """A PNG that says it is so large, with the few bytes that so much of one colour takes."""
    rows = zlib.compress(bytes(1 << 20), 9)
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [50_000, 12_000, 8_000])
def test_too_many_pixels_are_refused_by_the_header(served: Any, side: int) -> None:
    before = memory(served)
    answer = classify(served, upload(huge_png(side)))
    assert answer.status_code in (413, 422)
    error = answer.json()["error"]
    assert "pixels" in error["message"]
    assert error["field"] == "pictures.0"
    assert memory(served) - before < 100


def test_a_zip_is_no_picture_whatever_it_is_called(served: Any) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("picture.png", "hello")
    error = refused(classify(served, upload(stream.getvalue())), 422, "no known picture format")
    assert error["field"] == "pictures.0"
    renamed = served.folder / "zip.png"
    renamed.write_bytes(stream.getvalue())
    try:
        refused(classify(served, {"path": renamed.name}), 422, "no known picture format")
    finally:
        renamed.unlink()


@pytest.mark.parametrize("kept", [10, 100, 0.5, 0.98])
def test_a_picture_cut_short_is_refused(served: Any, kept: float) -> None:
    stream = io.BytesIO()
    Image.effect_noise((200, 200), 80).convert("RGB").save(stream, "JPEG")
    data = stream.getvalue()
    answer = classify(served, upload(data[: int(kept if kept >= 1 else kept * len(data))]))
    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == "pictures.0"


def test_no_path_leads_out_of_the_folders(served: Any, tmp_path: Path) -> None:
    inside = next(served.folder.glob("*.png"))
    (served.folder / "link.png").symlink_to(served.outside)
    (served.folder / "out").symlink_to(served.outside.parent, target_is_directory=True)
    (served.folder / "loop.png").symlink_to(served.folder / "loop.png")
    (served.folder / "notes.txt").write_text("a secret")
    os.mkfifo(served.folder / "pipe.png")
    assert classify(served, {"path": inside.name}).status_code == 200
    assert classify(served, {"path": f"below/../{inside.name}"}).status_code == 200
    try:
        for path in (
            "../outside.png",
            f"below/../../{served.outside.name}",
            str(served.outside),
            "link.png",
            f"out/{served.outside.name}",
            "loop.png",
            "notes.txt",
            "pipe.png",
            "below",
            "/etc/passwd",
            "../" * 40 + "etc/passwd",
            "..\\outside.png",
            "a\0.png",
            "x" * 5000 + ".png",
            "file:///etc/passwd",
            "http://127.0.0.1/a.png",
        ):
            error = refused(classify(served, {"path": path}), 404, "there is no such picture below the folders")
            assert error["field"] == "pictures.0.path"
    finally:
        for name in ("link.png", "out", "loop.png", "notes.txt", "pipe.png"):
            (served.folder / name).unlink()


@pytest.mark.parametrize(
    "path",
    [
        "/page/../service.py",
        "/page/..%2fservice.py",
        "/page/%2e%2e/service.py",
        "/page//etc/passwd",
        "/page/%00",
        "/page/..%5cservice.py",
        "/api/runs/..%2f..%2fpictures/report",
        "/api/runs/../report",
        "/api/runs/%2e%2e/report",
        "/api/pictures/..%2f..%2foutside.png/file",
    ],
)
def test_no_address_leads_out_of_the_page(served: Any, path: str) -> None:
    answer = raw(served, head(served, "Connection: close", method="GET", path=path))
    assert answer.split()[1] in (b"404", b"422"), answer


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "evil.example:80@127.0.0.1", ""])
def test_a_wrong_host_is_refused(served: Any, host: str) -> None:
    answer = raw(served, f"GET /api/status HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.1 421 "), answer
    assert b"fingerprint" not in answer


def test_a_request_without_a_host_is_refused(served: Any) -> None:
    assert raw(served, b"GET /api/status HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 421 ")
    assert raw(served, b"GET /api/status HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_ten_thousand_words_are_too_many(served: Any) -> None:
    answer = served.post("/api/search", {"terms": [{"words": "a dog " * 5_000}]})
    error = refused(answer, 413, "the text has 30,000 characters and 2,000 are allowed")
    assert error["field"] == "terms.0.words"
    labels = [f"label {number}" for number in range(257)]
    answer = served.post("/api/classify", {"pictures": [{"path": "x.png"}], "labels": labels})
    assert refused(answer, 413, "257 texts are given and 256 are allowed")["field"] == "labels"
    answer = served.post("/api/encode", {"pictures": [{"path": "x.png"}] * 17})
    assert refused(answer, 413, "16 pictures are allowed at once")["field"] == "pictures"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_are_refused_by_name(served: Any, number: str) -> None:
    body = f'{{"terms": [{{"words": "a", "weight": {number}}}]}}'
    answer = served.client.post("/api/search", content=body, headers={"content-type": "application/json"})
    assert refused(answer, 422, "weight")["field"] == "terms.0.weight"


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nonsense",
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"terms": ' + b'[{"picture": ' * 5_000,
        b'{"terms": [{"words": "\\ud800"}]}',
        b'{"terms": [{"words": "\\u0000"}], "where": "\\ud800"}',
        b'{"top": ' + b"9" * 5_000 + b"}",
        b'{"top": 1e400}',
        b'{"where": "length(repeat(\'a\', 2000000000)) > 1"}',
    ],
)
def test_bodies_of_all_kinds_are_answered_without_an_accident(served: Any, body: bytes) -> None:
    answer = served.client.post("/api/search", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (200, 400, 422), answer.text
    assert answer.headers["content-type"] == "application/json"
    json.loads(answer.text)


def test_what_is_no_http_is_told_so(served: Any) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00", b"hello there\r\n\r\n", b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * 20_000):
        answer = raw(served, sent, b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 400 Bad Request")
        assert b"no HTTP request that can be read" in answer


def test_a_thousand_connections_keep_nobody_out(served: Any) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 1200:
        if hard < 1200:
            pytest.skip("this process may not open a thousand connections")
        resource.setrlimit(resource.RLIMIT_NOFILE, (1200, hard))
    with ExitStack() as stack:
        opened = []
        for number in range(1_000):
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", served.port), timeout=60))
            if number % 2:
                connection.sendall(head(served, "Content-Length: 1000"))  # and then nothing
            opened.append(connection)
        asked = time.monotonic()
        # by new connections: the one that stayed open for the tests before is the oldest and made room, too
        assert httpx.get(f"{served.url}/health", timeout=30).status_code == 200
        assert httpx.post(f"{served.url}/api/search", json={"top": 1}, timeout=30).status_code == 200
        assert time.monotonic() - asked < 30
        answers = [whole(connection) for connection in opened[:400]]  # the oldest made room
    assert all(answer.startswith(b"HTTP/1.1 503 ") for answer in answers)
    assert all(b"too many connections are open" in answer for answer in answers)


@pytest.mark.slow
def test_who_says_nothing_is_shown_out(served: Any) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=60) as connection:
        connection.sendall(b"GET /health HT")
        answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 408 ")
        assert connection.recv(4096) == b""


def test_a_page_of_another_site_changes_nothing(served: Any) -> None:
    answer = served.post("/api/index", None, headers={"origin": "http://evil.example"})
    refused(answer, 403, "another site")
    assert served.get("/api/index").json()["updating"] is False
