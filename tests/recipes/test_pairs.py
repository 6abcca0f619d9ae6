"""From a table to batches: which rows are positives of each other, and what joins them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from amodal.core.batch import Batch
from amodal.data.pictures import FileRef
from amodal.data.rows import Row, Table
from amodal.data.sources import open_table
from amodal.features import Encoder, FeatureCache
from amodal.recipes import Recipe, judged_pairs, load_recipe
from amodal.recipes.build import build_model
from amodal.recipes.pairs import limited, solve_regression, training_batches

FROZEN = ("model.image.trainable=false", "model.text.trainable=false")
CLASSES = (*FROZEN, "model.image.conse=true", "task.class_pairs=true", "training.batch_size=64")


def encoder_for(recipe: Recipe, texts: list[str]) -> Encoder:
    torch.manual_seed(0)
    built = build_model(recipe.model, cache=FeatureCache(), captions=texts)
    return Encoder(built.model, built.tokenizer, FeatureCache(), torch.device("cpu"), tuple(recipe.model.image.views))


def epoch(batches) -> list[Batch]:
    return list(batches.steps(0, batches.steps_per_epoch))


@pytest.fixture
def several(tmp_path: Path) -> Table:
    """Four pictures; the first has three captions, and the last two are described by the same words."""
    captions = (("a cat", "one cat", "kitty"), ("a dog",), ("a fish",), ("a fish",))
    rows = []
    for number, said in enumerate(captions):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (40, 40), (60 * number, 200, 90)).save(path)
        rows.append(f'{{"image": "{path.name}", "caption": {list(said)!r}}}'.replace("'", '"'))
    table = tmp_path / "captions.jsonl"
    table.write_text("\n".join(rows))
    return open_table(table)


@pytest.mark.parametrize("extra", [(), FROZEN])
def test_rows_that_say_the_same_are_positives(tiny_recipe: Path, several: Table, extra: tuple[str, ...]) -> None:
    recipe = load_recipe(str(tiny_recipe), ["training.batch_size=4", *extra])
    (batch,) = epoch(training_batches(recipe, encoder_for(recipe, ["a cat"]), several))
    pair_of = dict(zip(batch.key, batch.pair_id.tolist(), strict=True))
    assert sorted(pair_of) == [f"captions.jsonl:{number}" for number in (1, 2, 3, 4)]
    assert pair_of["captions.jsonl:3"] == pair_of["captions.jsonl:4"]
    assert len(set(pair_of.values())) == 3
    frozen = bool(extra)
    assert (batch.pixels is None, batch.ids is None) == (frozen, frozen)
    assert (batch.image is not None, batch.text is not None) == (frozen, frozen)


def test_buckets_bring_captions_of_a_length_together(tiny_recipe: Path, several: Table) -> None:
    words = (("one",), ("one two three four five",), ("two",), ("five four three two one",))
    table = replace(several, rows=[replace(row, captions=said) for row, said in zip(several.rows, words, strict=True)])

    def together(bucket: int) -> set[tuple[int, ...]]:
        recipe = load_recipe(str(tiny_recipe), ["training.batch_size=2", f"training.bucket={bucket}"])
        batches = training_batches(recipe, encoder_for(recipe, [text for (text,) in words]), table)
        return {tuple(sorted(int(key[-1]) for key in batch.key)) for batch in batches.steps(0, 40)}

    assert together(2) == {(1, 3), (2, 4)}
    assert len(together(0)) == 6  # every two of four


def test_every_caption_of_a_picture_is_drawn(tiny_recipe: Path, several: Table) -> None:
    recipe = load_recipe(str(tiny_recipe), ["training.batch_size=4"])
    encoder = encoder_for(recipe, ["a cat", "one cat", "kitty"])

    def said(recipe: Recipe) -> set[tuple[int, ...]]:
        drawn = set()
        for batch in training_batches(recipe, encoder, several).steps(0, 24):
            assert batch.ids is not None
            assert batch.ids_mask is not None
            row = batch.key.index("captions.jsonl:1")
            drawn.add(tuple(batch.ids[row][batch.ids_mask[row]].tolist()))
        return drawn

    assert len(said(recipe)) == 3
    first = ["training.batch_size=4", "data.captions=first"]
    assert len(said(load_recipe(str(tiny_recipe), first))) == 1
    assert len(said(load_recipe(str(tiny_recipe), [*first, "training.augment.words=0.9"]))) == 3  # a cat, a, cat


@pytest.mark.parametrize("extra", [(), FROZEN])
def test_judged_captions_belong_to_their_pictures(tiny_recipe: Path, several: Table, extra: tuple[str, ...]) -> None:
    recipe = load_recipe(str(tiny_recipe), list(extra))
    encoder = encoder_for(recipe, ["a cat"])
    pairs = judged_pairs(encoder, several, "all")
    assert pairs.texts == ["a cat", "one cat", "kitty", "a dog", "a fish"]
    assert pairs.text_groups.tolist() == [0, 0, 0, 1, 2]
    assert pairs.image_groups.tolist() == [0, 1, 2, 2]
    image_ND, text_MD = pairs.encode()
    assert (image_ND.shape, text_MD.shape) == ((4, 32), (5, 32))
    np.testing.assert_allclose(image_ND, encoder.images(several.rows, several.skipped)[0], atol=1e-5)
    np.testing.assert_allclose(text_MD, encoder.texts(pairs.texts), atol=1e-5)
    assert judged_pairs(encoder, several, "first").texts == ["a cat", "a dog", "a fish"]


@pytest.mark.parametrize("room", [0, 2, 4])
def test_judged_pictures_are_decoded_once_as_far_as_there_is_room(
    tiny_recipe: Path, several: Table, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    """A tower that is trained says of them what it says of pictures that are decoded anew."""
    encoder = encoder_for(load_recipe(str(tiny_recipe)), ["a cat"])
    monkeypatch.setattr("amodal.recipes.pairs.MEMORY_FOR_JUDGED", room * 3 * 32**2)
    pairs = judged_pairs(encoder, several, "all")
    expected, _ = encoder.images(several.rows, several.skipped)
    decoded: list[Path] = []
    image = FileRef.image
    monkeypatch.setattr(FileRef, "image", lambda self, *given: decoded.append(self.path) or image(self, *given))
    for _ in range(2):
        np.testing.assert_allclose(pairs.encode()[0], expected, atol=1e-6)
    assert len(decoded) == 2 * (4 - room)


def test_classes_join_the_pairs(tiny_recipe: Path, shapes: Path) -> None:
    """A frozen classifier of 1,000 classes over 24 pictures: every class is a pair of its own, with its name."""
    recipe = load_recipe(str(tiny_recipe), list(CLASSES))
    table = open_table(shapes).split("train")
    batches = training_batches(recipe, encoder_for(recipe, ["a red circle"]), table)
    assert batches.steps_per_epoch == 1024 // 64
    seen = [
        (key, pair) for batch in epoch(batches) for key, pair in zip(batch.key, batch.pair_id.tolist(), strict=True)
    ]
    classes = {pair for key, pair in seen if key.startswith("class:")}
    pictures = {pair for key, pair in seen if not key.startswith("class:")}
    assert len(seen) == 1024
    assert (len(pictures), len(classes)) == (12, 1000)
    assert not classes & pictures
    assert "class:tench, Tinca tinca" in dict(seen)


def test_a_regression_brings_pictures_to_the_mean_of_their_captions(tiny_recipe: Path, several: Table) -> None:
    recipe = load_recipe(str(tiny_recipe), [*FROZEN, "training.batch_size=4", "model.anchors=4"])
    encoder = encoder_for(recipe, ["a cat"])
    solve_regression(encoder, training_batches(recipe, encoder, several), 0)
    encoder.model.image_head.solved.ridge = 0.0
    solve_regression(encoder, training_batches(recipe, encoder, several), 0)
    features = encoder.tower_images(several.rows, several.skipped)
    words = encoder.tower_texts(["a cat", "one cat", "kitty", "a dog", "a fish"])
    assert features is not None
    assert words is not None
    image_ND, text_MD = encoder.model.image_head.solved(features[0][0]), encoder.model.text_head.solved(words)
    aims_ND = torch.stack([text_MD[:3].mean(dim=0), text_MD[3], text_MD[4], text_MD[4]])
    torch.testing.assert_close(image_ND, torch.nn.functional.normalize(aims_ND, dim=1), rtol=0, atol=0.02)


def test_a_broken_picture_leaves_no_gap(tiny_recipe: Path, several: Table, tmp_path: Path) -> None:
    """Keys, pairs and captions stay with their pictures when one is left out."""
    (tmp_path / "1.png").write_bytes(b"no picture")
    several.skipped.limit = 0.5
    for extra in ((), FROZEN):
        recipe = load_recipe(str(tiny_recipe), ["training.batch_size=3", *extra])
        (batch,) = epoch(training_batches(recipe, encoder_for(recipe, ["a cat"]), several))
        assert sorted(batch.key) == [f"captions.jsonl:{number}" for number in (1, 3, 4)]
        pair_of = dict(zip(batch.key, batch.pair_id.tolist(), strict=True))
        assert pair_of["captions.jsonl:3"] == pair_of["captions.jsonl:4"] != pair_of["captions.jsonl:1"]
    assert [entry.key for entry in several.skipped.entries] == ["captions.jsonl:2"]


def test_limited_keeps_the_first_rows() -> None:
    row = Row(key="a", picture=FileRef(Path("a.png")), captions=("a",), pair="a")
    table = Table("made", [replace(row, key=str(number)) for number in range(5)])
    assert [row.key for row in limited(table, 2).rows] == ["0", "1"]
    assert limited(table, 0) is table
