"""Flickr8k and 30k captions, from small copies in their exact layout."""

from collections.abc import Callable
from pathlib import Path

import pytest

from amodal.core.errors import DataError
from amodal.data.published import published_reader, read_flickr

Put = Callable[..., None]


def test_flickr30k_results_csv(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "flickr30k_images" / "1000092795.jpg")
    put(tmp_path / "flickr30k_images" / "2199200615.jpg")
    lines = [
        "image_name| comment_number| comment",
        "1000092795.jpg| 0| Two young guys with shaggy hair look at their hands , outside .",
        "1000092795.jpg| 1| Two men | in green .",
        "2199200615.jpg| 4   A dog runs across the grass .",
        "2199200615.jpg| 0| A dog .",
    ]
    (tmp_path / "results.csv").write_text("\n".join(lines) + "\n")
    assert published_reader(tmp_path) is read_flickr
    table = read_flickr(tmp_path, max_skipped=0.3)
    assert table.rows[0].captions[0].startswith("Two young guys with shaggy hair look at their hands , outside")
    assert table.rows[0].captions[1] == "Two men | in green ."
    assert [entry.key for entry in table.skipped.entries] == ["results.csv:4"]


def test_flickr8k_token_file_with_splits(tmp_path: Path, put: Put) -> None:
    for name in ("1_a.jpg", "2_b.jpg", "3_c.jpg"):
        put(tmp_path / "Flicker8k_Dataset" / name)
    lines = [f"{name}.jpg#{n}\tCaption {n} , of {name} ." for name in ("1_a", "2_b", "3_c") for n in range(2)]
    (tmp_path / "Flickr8k.token.txt").write_text("\n".join(lines))
    for name, picture in {"train": "1_a", "dev": "2_b", "test": "3_c"}.items():
        (tmp_path / f"Flickr_8k.{name}Images.txt").write_text(f"{picture}.jpg\n")
    table = read_flickr(tmp_path)
    assert [row.key for row in table.rows] == [f"Flickr8k.token.txt:{n}" for n in (1, 3, 5)]
    assert table.split("val").rows[0].captions == ("Caption 0 , of 2_b .", "Caption 1 , of 2_b .")


def test_flickr8k_captions_txt(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "Images" / "1_a.jpg")
    text = 'image,caption\n1_a.jpg,"A dog , a cat ."\n1_a.jpg,"""Hi"" , it says ."\n1_a.jpg,A dog , unquoted .\n'
    (tmp_path / "captions.txt").write_text(text)
    assert read_flickr(tmp_path).rows[0].captions == ("A dog , a cat .", '"Hi" , it says .', "A dog , unquoted .")


def test_flickr30k_token_file_and_doubled_folder(tmp_path: Path, put: Put) -> None:
    put(tmp_path / "flickr30k_images" / "flickr30k_images" / "1.jpg")
    (tmp_path / "results_20130124.token").write_text("1.jpg#0\tTwo .\n")
    assert read_flickr(tmp_path).rows[0].captions == ("Two .",)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    assert published_reader(tmp_path) is None
    with pytest.raises(DataError, match="unpack the archive again"):
        read_flickr(tmp_path)
