"""Streamed recipes: what goes with them, what judges, what their tokenizer reads."""

import io
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from amodal.core.errors import DataError, RecipeError
from amodal.features import FeatureCache
from amodal.recipes import Recipe, load_recipe
from amodal.recipes.streamed import caption_rows, judged_tables, streamed_data


def shard(path: Path, count: int, *, broken: bool = False) -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    with tarfile.open(path, "w") as archive:
        for number in range(count):
            members = {f"{number}.png": stream.getvalue(), f"{number}.txt": f"{path.stem} {number}".encode()}
            if broken and number == 0:
                del members["0.txt"]
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))


def streamed(tiny_recipe: Path, source: object, *settings: str) -> Recipe:
    return load_recipe(str(tiny_recipe), [f"data.source={source}", "data.stream=true", *settings])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["data.stream=true", "model.text.trainable=false"], "data.stream is for two trained towers"),
        (["data.stream=true", "model.image.trainable=false"], "data.stream is for two trained towers"),
        (["data.stream=true", "data.limit=5"], "name fewer shards"),
        (["data.judged=pairs.csv"], "data.judged goes with data.stream"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny_recipe: Path, settings: list[str], said: str) -> None:
    with pytest.raises(RecipeError, match=said):
        load_recipe(str(tiny_recipe), settings)


def test_every_shard_trains_or_judges(tiny_recipe: Path, tmp_path: Path) -> None:
    for number in range(6):
        shard(tmp_path / f"s{number}.tar", number + 2)
    recipe = streamed(tiny_recipe, tmp_path)
    shards, judged = streamed_data(recipe, FeatureCache(tmp_path / "cache" / "features.sqlite"))
    names = [
        {path.name for path in shards.paths},
        *({row.key.split(":")[0] for row in t.rows} for t in judged.values()),
    ]
    assert [len(part) for part in names] == [4, 1, 1]
    assert set.union(*names) == {f"s{number}.tar" for number in range(6)}
    assert len(shards) + sum(len(table) for table in judged.values()) == sum(range(2, 8))
    assert {name: table.rows for name, table in judged_tables(recipe).items()} == {
        name: table.rows for name, table in judged.items()
    }
    other = judged_tables(streamed(tiny_recipe, tmp_path, "training.seed=5"))
    assert other["test"].rows != judged["test"].rows
    assert (tmp_path / "cache" / "shards").is_dir()


def test_two_shards_need_a_source_that_judges(tiny_recipe: Path, tmp_path: Path, shapes: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"s{number}.tar", 3, broken=number == 0)
    cache = FeatureCache(tmp_path / "cache" / "features.sqlite")
    with pytest.raises(DataError, match=r"data\.judged=PATH"):
        streamed_data(streamed(tiny_recipe, tmp_path), cache)
    shards, judged = streamed_data(streamed(tiny_recipe, tmp_path, f"data.judged={shapes}"), cache)
    assert (len(shards), len(judged["validation"]), len(judged["test"])) == (6, 12, 12)  # the table's own splits
    unsplit = tmp_path / "unsplit.csv"
    unsplit.write_text("image,caption\n" + "".join(f"{n}.png,thing {n}\n" for n in range(10)))
    for number in range(10):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    dealt = judged_tables(streamed(tiny_recipe, tmp_path, f"data.judged={unsplit}"))
    assert {name: len(table) for name, table in dealt.items()} == {"validation": 5, "test": 5}
    assert judged["test"].skipped is shards.skipped  # one log: what is broken anywhere is in the report


def test_only_a_tokenizer_of_our_own_reads_captions(tiny_recipe: Path, tmp_path: Path, shapes: Path) -> None:
    for number in range(2):
        shard(tmp_path / f"s{number}.tar", 3, broken=number == 0)
    recipe = streamed(tiny_recipe, tmp_path, f"data.judged={shapes}")
    shards, judged = streamed_data(recipe, FeatureCache(tmp_path / "cache" / "features.sqlite"))
    said = [row.captions[0] for row in caption_rows(recipe, shards)]
    assert sorted(said) == ["s0 1", "s0 2", "s1 0", "s1 1", "s1 2"]
    assert [entry.key for entry in shards.skipped.entries] == ["s0.tar:0"]
    assert list(caption_rows(recipe, judged["test"])) == judged["test"].rows
    pretrained = streamed(tiny_recipe, tmp_path, f"data.judged={shapes}", "model.text.tower=packaged")
    assert list(caption_rows(pretrained, shards)) == []
