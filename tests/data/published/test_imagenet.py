"""ImageNet by synset, from a small copy in its exact layout."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amodal.core.errors import DataError
from amodal.data.published import published_reader, read_imagenet

Put = Callable[..., None]


def test_imagenet_with_its_mapping(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "val" / "n01440764" / "ILSVRC2012_val_00000293.JPEG")
    put(tmp_path / "val" / "n02012849" / "ILSVRC2012_val_00000001.JPEG")
    put(tmp_path / "train" / "n03126707" / "n03126707_1.JPEG")
    lines = ["n01440764 tench, Tinca tinca", "n02012849 crane", "n03126707 crane", "n01443537 goldfish"]
    (tmp_path / "LOC_synset_mapping.txt").write_text("\n".join(lines))
    assert published_reader(tmp_path) is read_imagenet
    table = read_imagenet(tmp_path)
    assert table.classes == ("crane (n02012849)", "crane (n03126707)", "tench")
    assert {row.attributes["folder"]: row.captions[0] for row in table.split("val").rows} == {
        "n01440764": "tench",
        "n02012849": "crane (n02012849)",
    }
    assert len(table.split("train")) == 1
    assert read_imagenet(tmp_path / "val").rows[0].captions == ("tench",)


def test_imagenet_without_mapping_asks_timm(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "n01440764" / "a.JPEG")
    put(tmp_path / "n02123045" / "b.JPEG")
    assert read_imagenet(tmp_path).classes == ("tabby", "tench")
    put(tmp_path / "n99999999" / "c.JPEG")
    with pytest.raises(DataError, match="no class name is known for n99999999; put LOC_synset_mapping"):
        read_imagenet(tmp_path)
