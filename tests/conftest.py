"""What tests of whole runs share: a small set of drawn shapes, a recipe of seconds, a run of it, the command line."""

import contextlib
import csv
import io
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: these networks are too small to share
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import pytest
from PIL import Image, ImageDraw

COLOURS = {"red": (220, 30, 30), "green": (30, 170, 60), "blue": (40, 70, 220), "yellow": (240, 200, 30)}
SHAPES = ("circle", "square", "triangle")
SPLITS = ("train", "train", "validation", "test")

RECIPE = """\
name: tiny
data: {source: SOURCE}
model:
  image: {tower: timm, name: test_resnet, image_size: 32}
  text:
    tower: transformer
    width: 32
    depth: 1
    heads: 2
    context_length: 12
    vocabulary: 300
    causal: false
    pooling: mean
  width: 32
training: {epochs: 30, batch_size: 12, learning_rate: 0.002, evaluate_every: 10}
"""

SMALLEST_SCENES = (
    "data.train=12",
    "data.validation=6",
    "data.judged=6",
    "model.image.image_size=128",
    "model.width=16",
    "model.depth=1",
    "training.epochs=2",
    "training.evaluate_every=1",
    "training.batch_size=4",
)


class Answer(NamedTuple):
    """What a call of the command line gave: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


def draw_shape(colour: str, shape: str, draw: random.Random) -> Image.Image:
    """A 48 x 48 picture of one shape, of random size at a random place."""
    image = Image.new("RGB", (48, 48), "white")
    pen, side = ImageDraw.Draw(image), draw.randint(22, 40)
    x, y = draw.randint(0, 48 - side), draw.randint(0, 48 - side)
    box = (x, y, x + side, y + side)
    if shape == "circle":
        pen.ellipse(box, fill=COLOURS[colour])
    elif shape == "square":
        pen.rectangle(box, fill=COLOURS[colour])
    else:
        pen.polygon([(x, y + side), (x + side, y + side), (x + side / 2, y)], fill=COLOURS[colour])
    return image


@pytest.fixture(scope="session", autouse=True)
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The feature cache of all tests: never the user's own."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AMODAL_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """pairs.csv: 12 captions ("a red circle"), each of four pictures: two to train, one to validate, one to test."""
    folder, draw = tmp_path_factory.mktemp("shapes"), random.Random(0)
    rows = []
    for colour in COLOURS:
        for shape in SHAPES:
            for number, split in enumerate(SPLITS):
                name = f"{colour}-{shape}-{number}.png"
                draw_shape(colour, shape, draw).save(folder / name)
                rows.append((name, f"a {colour} {shape}", split))
    table = folder / "pairs.csv"
    with table.open("w", newline="") as stream:
        csv.writer(stream).writerows([("image", "caption", "split"), *rows])
    return table


@pytest.fixture(scope="session")
def tiny_recipe(shapes: Path) -> Path:
    """A recipe over `shapes` that trains from scratch in about two seconds."""
    path = shapes.with_name("tiny.yaml")
    path.write_text(RECIPE.replace("SOURCE", str(shapes)))
    return path


@pytest.fixture(scope="session")
def cli() -> Callable[..., Answer]:
    """The command line in this process: cli("train", path, "--json") -> Answer."""
    from amodal.cli import main

    def call(*words: Any) -> Answer:
        out, err, code = io.StringIO(), io.StringIO(), None
        with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            patch.setattr(sys, "argv", ["amodal", *map(str, words)])
            try:
                main()
            except SystemExit as end:
                code = end.code
        assert isinstance(code, int)
        return Answer(code, out.getvalue(), err.getvalue())

    return call


@pytest.fixture(scope="session")
def tiny_run(tiny_recipe: Path, cli: Callable[..., Answer], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `tiny_recipe`. Read it only; copy it to change it."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    answer = cli("train", tiny_recipe, "--out", folder)
    assert answer.code == 0, answer.err
    return folder


@pytest.fixture(scope="session")
def scene_recipe() -> Callable[..., Any]:
    """scene_recipe("matching", "model.depth=2"): a recipe on scenes at its smallest, on a grid of 8 x 8."""
    from amodal.recipes import read_recipe

    return lambda name, *settings: read_recipe(name, [*SMALLEST_SCENES, *settings])


@pytest.fixture(scope="session")
def scene_run(scene_recipe: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """scene_run("matching"): the `Finished` of such a recipe. Read its folder only; copy it to change it."""
    import torch

    from amodal.features import FeatureCache
    from amodal.recipes import run_recipe

    folder = tmp_path_factory.mktemp("scenes")

    @cache
    def trained(name: str) -> Any:
        recipe, cpu = scene_recipe(name), torch.device("cpu")
        return run_recipe(recipe, folder / name, device=cpu, cache=FeatureCache(), say=lambda line: None)

    return trained


@pytest.fixture(scope="session")
def start_ranks() -> Callable[..., list[subprocess.Popen[str]]]:
    """start_ranks(2, "train", path): `amodal ...` on two ranks, with the environment that torchrun gives."""

    def start(count: int, *words: object, program: Sequence[str] = ("-m", "amodal")) -> list[subprocess.Popen[str]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        joined = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": str(count)}
        command = [sys.executable, *program, *map(str, words)]
        return [
            subprocess.Popen(
                command, env={**joined, "RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            )
            for rank in range(count)
        ]

    return start
