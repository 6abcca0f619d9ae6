"""A service from its start to its end: warm before it is healthy, orderly when it is told to stop, tokens, updates."""

import json
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest


@pytest.fixture
def own(gallery: Path, tmp_path: Path) -> Path:
    """A gallery of one's own."""
    shutil.copytree(gallery / "pictures", tmp_path / "pictures")
    return tmp_path


def events(answer: Iterator[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and data of server-sent events."""
    name = ""
    for line in answer:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        if line.startswith("data: "):
            yield name, json.loads(line.removeprefix("data: "))


def test_it_is_warm_before_it_is_healthy(
    served: Any, gallery: Path, tiny_run: Path, tmp_path: Path, start: Any
) -> None:
    with start(tmp_path, "--model", tiny_run) as fresh:
        first = fresh.get("/health")
        assert first.status_code == 503
        assert "being loaded" in first.json()["error"]["message"]
        assert fresh.post("/api/encode", {"texts": ["a"]}).status_code == 503
        fresh.wait()
        assert fresh.get("/health").json()["status"] == "ok"
        assert httpx.head(f"{fresh.url}/health").status_code == 200
        warm = [line for line in fresh.get("/metrics").text.splitlines() if line.startswith("amodal_batch_items_count")]
        assert {line.split('"')[1] for line in warm} >= {"pictures", "texts"}  # both were computed by then
        assert fresh.get("/api/index").status_code == 404
        assert "--index" in fresh.post("/api/search", {}).json()["error"]["message"]


def test_sigterm_finishes_what_is_running(tiny_run: Path, tmp_path: Path, start: Any) -> None:
    with start(tmp_path, "--model", tiny_run) as served:
        served.wait()
        body = json.dumps({"texts": ["a red circle"]}).encode()
        with socket.create_connection(("127.0.0.1", served.port), timeout=60) as running:
            head = f"POST /api/encode HTTP/1.1\r\nHost: 127.0.0.1:{served.port}\r\nContent-Type: application/json\r\n"
            running.sendall(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body[:10])
            time.sleep(0.5)  # it is being read
            served.process.send_signal(signal.SIGTERM)
            until = time.monotonic() + 30
            while True:  # nobody else is let in
                try:
                    socket.create_connection(("127.0.0.1", served.port), timeout=5).close()
                except OSError:
                    break
                assert time.monotonic() < until
                time.sleep(0.05)
            assert served.process.poll() is None
            running.sendall(body[10:])
            answer = running.recv(1 << 20)
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert served.process.wait(60) == 128 + signal.SIGTERM
        assert "Traceback" not in served.said


@pytest.mark.slow
def test_an_update_tells_its_progress_and_is_searched_afterwards(
    own: Path, shapes: Path, tiny_run: Path, start: Callable[..., Any]
) -> None:
    import amodal

    index = own / "pictures.index"
    amodal.load(tiny_run, device="cpu").index(own / "pictures", index)
    with start(own, "--index", index) as served:
        served.wait()
        assert served.get("/api/index/progress").status_code == 204
        for path in shapes.parent.glob("*-3.png"):
            shutil.copy(path, own / "pictures" / path.name)
        (own / "pictures" / "broken.png").write_bytes(b"nothing")
        assert served.post("/api/index", None).status_code == 202
        assert served.post("/api/index", None).status_code == 409
        assert served.get("/api/index").json()["updating"] is True
        with served.client.stream("GET", "/api/index/progress") as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            told = list(events(answer.iter_lines()))
        assert [name for name, _ in told[:-1]] == ["progress"] * (len(told) - 1)
        assert any(data["said"] == "Indexing" and data["total"] == 13 and data["rate"] > 0 for _, data in told[:-1])
        assert told[-1] == ("done", {"pictures": 36, "added": 12, "changed": 0, "gone": 0, "skipped": 1})
        about = served.get("/api/index").json()
        assert (about["pictures"], about["updating"], len(about["versions"])) == (36, False, 2)
        assert [each["path"] for each in about["skipped"]] == ["broken.png"]
        assert served.post("/api/search", {"top": 1}).json()["total"] == 36
        again = served.get("/api/index/progress", headers={"last-event-id": "1"})
        assert again.status_code == 204  # a browser that comes back has heard it


@pytest.mark.slow
def test_sigterm_ends_an_update_and_its_listeners(own: Path, tiny_run: Path, start: Callable[..., Any]) -> None:
    import amodal

    index = own / "pictures.index"
    amodal.load(tiny_run, device="cpu").index(own / "pictures", index)
    with start(own, "--index", index) as served:
        served.wait()
        served.post("/api/index", None)
        heard: list[Any] = []

        def listen() -> None:
            with httpx.stream("GET", f"{served.url}/api/index/progress", timeout=60) as answer:
                heard.extend(events(answer.iter_lines()))

        listener = threading.Thread(target=listen)
        listener.start()
        until = time.monotonic() + 30
        while not heard and listener.is_alive() and time.monotonic() < until:
            time.sleep(0.05)
        served.process.send_signal(signal.SIGTERM)
        listener.join(60)
        assert heard[-1][0] in ("error", "done")
        assert served.process.wait(60) == 128 + signal.SIGTERM


def test_elsewhere_than_here_a_token_is_made_and_asked_for(tiny_run: Path, tmp_path: Path, start: Any) -> None:
    with start(tmp_path, "--model", tiny_run, "--host", "0.0.0.0", "--allow-host", "photos.example") as served:
        (token,) = [line.partition("?token=")[2].split()[0] for line in served.said.splitlines() if "?token=" in line]
        assert len(token) >= 32
        assert served.get("/api/status").status_code == 401
        assert served.get("/health").status_code == 503  # is for everybody
        entered = served.get("/", params={"token": token})
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        assert served.client.get("/api/runs").json() == {"runs": []}  # by the cookie
        with httpx.Client(base_url=served.url) as other:
            named = {"authorization": f"Bearer {token}"}
            assert other.get("/api/runs", headers=named).status_code == 200
            assert other.get("/api/runs", headers={**named, "host": "photos.example"}).status_code == 200
            assert other.get("/api/runs", headers={**named, "host": "evil.example"}).status_code == 421
        assert token not in served.said.partition("?token=")[2].partition("\n")[2]  # told once


def test_a_model_that_is_not_there_ends_it_with_a_message(tmp_path: Path, start: Any) -> None:
    with start(tmp_path, "--model", tmp_path / "nothing") as served:
        assert served.process.wait(240) == 2
        assert "amodal: " in served.said
        assert "Traceback" not in served.said


def test_a_port_that_is_taken_is_told(cli: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        answer = cli("serve", "--port", taken.getsockname()[1])
    assert answer.code == 1
    assert "give another --host or --port" in answer.err


def test_wrong_options_are_told(cli: Callable[..., Any], tmp_path: Path) -> None:
    for words, said in (
        (("--folder", tmp_path / "none"), "there is no folder"),
        (("--limit", "pixel=3"), "is no limit"),
        (("--token", "ü"), "made of ASCII"),
    ):
        answer = cli("serve", *words)
        assert answer.code == 2
        assert said in answer.err


def test_without_the_extra_it_is_named(cli: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("amodal.app.") or name == "uvicorn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    answer = cli("serve")
    assert answer.code == 2
    assert "pip install amodal[serve]" in answer.err
