"""Frozen towers run once over what is new; everything else comes from the cache.

N pictures · V views · M texts · F width of a tower
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from amodal.core.devices import on_every_core
from amodal.core.progress import progress
from amodal.core.seeds import generator_for
from amodal.data.pictures import BrokenPicture
from amodal.data.rows import Row, SkipLog
from amodal.data.tokenizers import WordsToIds
from amodal.data.transforms import fit_picture, random_view, to_tensor
from amodal.features.cache import FeatureCache
from amodal.towers import ImagePreprocessing, OwnPreparation, fingerprint

Loaded = TypeVar("Loaded")


def prepare_view(image: Image.Image, preprocessing: ImagePreprocessing | OwnPreparation, view: int) -> Tensor:
    """View 0 is the plain picture, 1 its mirror image, further ones fixed random crops. -> (3, H, W)

    A model of another library prepares the plain picture itself, and has no other views.
    """
    if isinstance(preprocessing, OwnPreparation):
        assert view == 0, "only the plain picture is what this model's library shows it"
        return preprocessing.prepare(image)
    if view <= 1:
        fitted = fit_picture(image, preprocessing.size, preprocessing.fit)
        fitted = fitted.flip(2) if view == 1 else fitted
    else:
        fitted = random_view(image, preprocessing.size, generator_for(view, "view"), smallest=0.6)
    return to_tensor(fitted, preprocessing.mean, preprocessing.std)


def pictures_a_batch(device: torch.device) -> int:
    """How many pictures go through a tower at once: on a CPU so few that a layer finds in its caches what the one
    before it left there."""
    return 4 if device.type == "cpu" else 64


def texts_a_batch(device: torch.device) -> int:
    """How many texts go through a tower at once: on a CPU as many as leave its caches room for weights."""
    return 64 if device.type == "cpu" else 512


def image_name(tower: nn.Module) -> str:
    """Names all that decides what a tower says of a picture, for `image_features`. Reads every weight: ask once."""
    return fingerprint(tower, tower.preprocessing)


def text_name(tower: nn.Module, tokenizer: WordsToIds) -> str:
    """Names all that decides what a tower says of a text, for `text_features`. Reads every weight: ask once."""
    return fingerprint(tower, tokenizer.fingerprint())


def image_features(
    tower: Callable[[], nn.Module],
    rows: Sequence[Row],
    *,
    name: str,
    views: Sequence[int],
    cache: FeatureCache,
    skipped: SkipLog,
    device: torch.device,
) -> tuple[Tensor, list[int]]:
    """The pooled features of every readable picture. -> (V, N, F) float32 on the CPU, and the positions of the N rows

    tower: asked for where anything is to be computed; name: what `image_name` gives. Each distinct picture is decoded
    and computed once. A broken one is noted in `skipped` and left out.
    """
    contents, positions = [], []
    for position, row in enumerate(rows):
        try:
            contents.append(hashlib.sha256(row.picture.content()).hexdigest())
            positions.append(position)
        except BrokenPicture as error:
            skipped.add(row.key, str(error))
    wanted = dict(zip(contents, positions, strict=True))
    keys = {(content, view): f"{name}/{view}/{content}" for content in wanted for view in views}
    found = cache.get(keys.values())
    missing = [content for content in wanted if any(keys[content, view] not in found for view in views)]
    network: Any = tower() if missing else None

    def load(content: str) -> list[Tensor] | None:
        try:
            image = rows[wanted[content]].picture.image(network.preprocessing.size)
        except BrokenPicture as error:
            for same, position in zip(contents, positions, strict=True):
                if same == content:
                    skipped.add(rows[position].key, str(error))
            return None
        return [prepare_view(image, network.preprocessing, view) for view in views]

    @torch.inference_mode()
    def run(loaded: list[tuple[str, list[Tensor]]]) -> dict[str, np.ndarray]:
        pixels = torch.stack([pixel for _, part in loaded for pixel in part]).to(device)
        pooled = network(pixels.contiguous(memory_format=torch.channels_last)).pooled.float().cpu().numpy()
        names = [keys[content, view] for content, _ in loaded for view in views]
        return dict(zip(names, pooled, strict=True))

    size = max(1, pictures_a_batch(device) // len(views))
    shown = {"label": "Image tower", "unit": "pictures"}
    found.update(_compute(missing, load, run, size=size, **shown, cache=cache, device=device))
    kept = [i for i, content in enumerate(contents) if all(keys[content, view] in found for view in views)]
    if not kept:
        return torch.empty(len(views), 0, 0), []
    stacked = np.stack([[found[keys[contents[i], view]] for i in kept] for view in views])
    return torch.from_numpy(stacked), [positions[i] for i in kept]


def text_features(
    tower: nn.Module,
    tokenizer: WordsToIds,
    texts: Sequence[str],
    *,
    name: str,
    cache: FeatureCache,
    device: torch.device,
) -> Tensor:
    """The pooled features of every text, each distinct text computed once. -> (M, F) float32 on the CPU

    name: what `text_name` gives. No text gives a tensor of no width.
    """
    if not texts:
        return torch.empty(0, 0)
    keys = {text: f"{name}/{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()}" for text in texts}
    found = cache.get(keys.values())
    # alike in length: little padding; the same order in every process: the same batches, bit for bit
    missing = sorted({text for text in keys if keys[text] not in found}, key=lambda text: (len(text), text))

    @torch.inference_mode()
    def run(loaded: list[tuple[str, str]]) -> dict[str, np.ndarray]:
        ids, mask = tokenizer([text for text, _ in loaded])
        pooled = tower(ids.to(device), mask.to(device)).pooled.float().cpu().numpy()
        return dict(zip([keys[text] for text, _ in loaded], pooled, strict=True))

    size = texts_a_batch(device)
    shown = {"label": "Text tower", "unit": "texts"}
    found.update(_compute(missing, lambda text: text, run, size=size, **shown, cache=cache, device=device))
    return torch.from_numpy(np.stack([found[keys[text]] for text in texts]))


def _compute(
    missing: Sequence[str],
    load: Callable[[str], Loaded | None],
    run: Callable[[list[tuple[str, Loaded]]], dict[str, np.ndarray]],
    *,
    size: int,
    label: str,
    unit: str,
    cache: FeatureCache,
    device: torch.device,
) -> dict[str, np.ndarray]:
    """Loads and runs what is missing in batches of `size`; every batch is in the cache as soon as all before it are."""
    computed: dict[str, np.ndarray] = {}
    starts = range(0, len(missing), size)
    loaded = (
        [(name, value) for name in missing[start : start + size] if (value := load(name)) is not None]
        for start in starts
    )

    def work(part: list[tuple[str, Loaded]]) -> dict[str, np.ndarray]:
        return run(part) if part else {}

    done = on_every_core(work, loaded, device) if len(starts) > 1 else map(work, loaded)  # one batch needs no threads
    with progress(label, len(missing), unit) as bar:
        for start, vectors in zip(starts, done, strict=True):
            cache.put(vectors)
            computed.update(vectors)
            bar.update(len(missing[start : start + size]))
    return computed
