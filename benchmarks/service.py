"""`amodal serve` with many clients at once, beside one request at a time.

    pip install amodal[serve,search]
    python benchmarks/service.py [--requests 1000] [--clients 64] [--alone 100] [--index INDEX] [--json]

A service with the packaged model and an index of bundled pictures, in a process of its own. Requests are a mixture, in
a fixed order: half classify a picture (six labels out of ten sets), a quarter search with words and a quarter with a
picture. Every picture is another one (a crop of a bundled photograph, 400 pixels, uploaded as JPEG) and so are the
words that search, so that nothing is answered from memory but the labels. Rounds of both ways take turns: some requests
one after the other by one client, then more by all clients at once. Every answer is checked: its status, and that it
has what was asked for; the first answers of both ways are compared.
"""

import argparse
import base64
import http.client
import io
import itertools
import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from PIL import Image

ROUNDS = 4
THINGS = (
    *("cat", "dog", "cup", "rocket", "camera", "bicycle", "tree", "house", "shoe", "apple"),
    *("clock", "fish", "bird", "boat", "key", "book", "lamp", "hat", "car", "sun"),
)


class Asked:
    """Requests that are all different, the same for the same seed."""

    def __init__(self, seed: int) -> None:
        from amodal.data.bundled import photos

        self.draw = random.Random(seed)
        self.photos = [Image.open(path).convert("RGB") for path in photos().values()]
        self.sets = [random.Random(number).sample(THINGS, 6) for number in range(10)]

    def picture(self) -> dict[str, str]:
        """A crop of a photograph, as an upload."""
        photo = self.draw.choice(self.photos)
        side = self.draw.randint(min(photo.size) // 2, min(photo.size))
        left, top = (self.draw.randint(0, full - side) for full in photo.size)
        stream = io.BytesIO()
        photo.crop((left, top, left + side, top + side)).resize((400, 400)).save(stream, "JPEG", quality=88)
        return {"data": base64.b64encode(stream.getvalue()).decode()}

    def words(self) -> str:
        """Some things together."""
        return f"{' and '.join(self.draw.sample(THINGS, 3))} number {self.draw.randrange(10**6)}"

    def __iter__(self) -> Iterator[tuple[str, bytes]]:
        for number in itertools.count():
            if number % 2:
                labels = self.sets[number // 2 % len(self.sets)]
                yield "/api/classify", _json({"pictures": [self.picture()], "labels": labels})
            else:
                term = {"words": self.words()} if number % 4 else {"picture": self.picture()}
                yield "/api/search", _json({"terms": [term], "top": 10})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


class Service:
    """`amodal serve` of an index, until the end of the block."""

    def __init__(self, index: Path, threads: int) -> None:
        environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
        command = [sys.executable, "-m", "amodal", "serve", "--index", str(index), "--port", "0", "--device", "cpu"]
        self.process = subprocess.Popen(
            [*command, "--limit", "seconds=600"], stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stderr is not None
        said = ""
        while not said.endswith("ready\n"):
            line = self.process.stderr.readline()
            if not line:
                raise SystemExit(said)
            said += line
        (port,) = re.findall(r"http://127.0.0.1:(\d+)/", said)
        self.port = int(port)

    def __enter__(self) -> "Service":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


def ask(connection: http.client.HTTPConnection, path: str, body: bytes) -> tuple[Any, str]:
    """The answer, and what is wrong with it."""
    connection.request("POST", path, body, {"content-type": "application/json"})
    answer = connection.getresponse()
    said = json.loads(answer.read())
    wanted = 10 if path.endswith("search") else 1
    right = answer.status == 200 and len(said["results"]) == wanted
    return said, "" if right else f"{answer.status} {said.get('error')}"


def together(port: int, requests: list[tuple[str, bytes]], clients: int) -> tuple[float, list[float], list[str], Any]:
    """Seconds of all, seconds of each, what went wrong, and the first answer."""
    left, seconds, wrong, first = iter(list(enumerate(requests))), list[float](), list[str](), dict[int, Any]()
    lock = threading.Lock()

    def client() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        while True:
            with lock:
                number, (path, body) = next(left, (-1, ("", b"")))
            if number < 0:
                return
            started = time.perf_counter()
            try:
                said, error = ask(connection, path, body)
            except (OSError, http.client.HTTPException) as failed:
                said, error = None, repr(failed)
                connection.close()
            seconds.append(time.perf_counter() - started)
            if error:
                wrong.append(error)
            if number == 0:
                first[0] = said

    threads = [threading.Thread(target=client) for _ in range(clients)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started, seconds, wrong, first[0]


def index_of(folder: Path, count: int) -> Path:
    """An index of bundled pictures, made in the folder."""
    from amodal import load
    from amodal.data.bundled import load_pictures

    (folder / "pictures").mkdir()
    for row in load_pictures(["noto"]).slice(0, count).to_pylist():
        (folder / "pictures" / f"{row['emoji']}.webp").write_bytes(row["image"])
    load(device="cpu").index(folder / "pictures", folder / "index")
    return folder / "index"


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """All rounds."""
    asked = Asked(seed=0)
    requests = iter(asked)
    ways = {"alone": (1, args.alone // ROUNDS), "together": (args.clients, args.requests // ROUNDS)}
    spent = dict.fromkeys(ways, 0.0)
    each, wrong = {name: list[float]() for name in ways}, {name: list[str]() for name in ways}
    with (
        tempfile.TemporaryDirectory() as folder,
        Service(args.index or index_of(Path(folder), args.pictures), args.threads) as service,
    ):
        both = list(itertools.islice(requests, 1))
        answers = [together(service.port, list(both) * clients, clients)[3] for clients, _ in ways.values()]
        same = max(abs(a["score"] - b["score"]) for a, b in zip(*(x["results"] for x in answers), strict=True))
        for _ in range(ROUNDS):
            for name, (clients, count) in ways.items():
                part = list(itertools.islice(requests, count))
                seconds, own, failed, _ = together(service.port, part, clients)
                spent[name] += seconds
                each[name] += own
                wrong[name] += failed
    rates = {name: len(each[name]) / spent[name] for name in ways}
    return {
        "clients": args.clients,
        "requests": len(each["together"]),
        "errors": len(wrong["alone"]) + len(wrong["together"]),
        "first_errors": (wrong["alone"] + wrong["together"])[:5],
        "requests_a_second": rates,
        "ratio": rates["together"] / rates["alone"],
        "median_seconds": {name: statistics.median(found) for name, found in each.items()},
        "slowest_seconds": {name: max(found) for name, found in each.items()},
        "scores_apart": same,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=1000, help="by all clients together")
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--alone", type=int, default=100, help="requests of one client, one after the other")
    parser.add_argument("--pictures", type=int, default=200, help="in the index")
    parser.add_argument("--index", type=Path, help="one that is there, made with the packaged model")
    parser.add_argument("--threads", type=int, default=0, help="of the service; 0 for as many as PyTorch takes")
    parser.add_argument("--json", action="store_true")
    found = measure(parser.parse_args())
    if "--json" in sys.argv:
        print(json.dumps(found, indent=2))
        return
    for name, value in found.items():
        print(f"{name:18}  {value}")


if __name__ == "__main__":
    main()
