"""Visual Genome's region descriptions, from a small copy in their exact layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.core.errors import DataError
from amodal.data.annotations import Instance, Sentence, said_of
from amodal.data.published import published_reader, read_genome
from amodal.data.rows import Table
from amodal.data.sources import open_table

Put = Callable[..., None]


def region(number: int, picture: int, phrase: str, box: tuple[float, float, float, float]) -> dict[str, Any]:
    left, top, width, height = box
    return {"region_id": number, "width": width, "height": height, "image_id": picture, "phrase": phrase} | {
        "y": top,
        "x": left,
    }


def picture(number: int, folder: str, size: tuple[int, int]) -> dict[str, Any]:
    url = f"https://cs.stanford.edu/people/rak248/{folder}/{number}.jpg"
    return {"width": size[0], "url": url, "height": size[1], "image_id": number, "coco_id": None, "flickr_id": None}


@pytest.fixture
def genome(tmp_path: Path, put: Put) -> Path:
    """Two pictures, one in each folder; of the second picture's regions one goes over the edge."""
    put(tmp_path / "VG_100K_2" / "1.jpg", (80, 60))
    put(tmp_path / "VG_100K" / "2.jpg", (50, 40))
    pictures = [picture(1, "VG_100K_2", (80, 60)), picture(2, "VG_100K", (50, 40))]
    clock = [region(1382, 1, "the clock is green in colour", (42, 5, 8, 14)), region(1383, 1, "shade ", (0, 0, 3, 3))]
    car = [region(4091, 2, "a car", (-2, 10, 60, 20)), region(4092, 2, "a car", (1, 1, 4, 4))]
    write(tmp_path, pictures, [{"regions": clock, "id": 1}, {"regions": car, "id": 2}])
    return tmp_path


def write(folder: Path, pictures: list[dict[str, Any]], regions: list[dict[str, Any]]) -> None:
    (folder / "image_data.json").write_text(json.dumps(pictures))
    (folder / "region_descriptions.json").write_text(json.dumps(regions))


def skipped(table: Table) -> dict[str, str]:
    return {entry.key: entry.reason for entry in table.skipped.entries}


def test_regions_with_their_boxes(genome: Path) -> None:
    assert published_reader(genome) is read_genome
    clock, car = open_table(genome, annotated=True).rows
    assert clock.key == "region_descriptions.json:image_id 1"
    assert clock.captions == ("the clock is green in colour", "shade")
    assert clock.attributes == {"image_id": "1"}
    assert clock.picture.image().size == (80, 60)
    assert clock.annotations is not None
    assert clock.annotations.things == (Instance("region", (42, 5, 50, 19)), Instance("region", (0, 0, 3, 3)))
    assert clock.annotations.regions == (said_of("the clock is green in colour", 0), said_of("shade", 1))
    assert car.annotations is not None
    assert car.captions == ("a car",)
    assert car.annotations.things[0].box == (0, 10, 50, 30)
    assert [each.text for each in car.annotations.regions] == ["a car", "a car"]
    assert all(isinstance(each, Sentence) for each in car.annotations.regions)


def test_captions_alone_hold_no_annotations_and_are_another_table(genome: Path) -> None:
    plain, annotated = open_table(genome), open_table(genome, annotated=True)
    assert [row.captions for row in plain.rows] == [row.captions for row in annotated.rows]
    assert all(row.annotations is None for row in plain.rows)
    assert plain.fingerprint() != annotated.fingerprint()


def test_pictures_in_the_other_folder_or_under_images(genome: Path, put: Put) -> None:
    (genome / "VG_100K_2" / "1.jpg").unlink()
    put(genome / "images" / "VG_100K" / "1.jpg", (8, 6))
    assert read_genome(genome).rows[0].picture.image().size == (8, 6)


def test_bad_regions_are_skipped_and_named(genome: Path) -> None:
    regions = [
        region(1, 1, "a clock", (1, 1, 5, 5)),
        region(2, 1, " ", (1, 1, 5, 5)),
        region(3, 1, "nothing", (1, 1, 0, 5)),
        region(4, 9, "elsewhere", (1, 1, 5, 5)),
        {"region_id": 5, "image_id": 1, "phrase": "no box"},
        6,
    ]
    pictures = [picture(1, "VG_100K_2", (80, 60)), {"image_id": 7}, picture(2, "VG_100K", (50, 40))]
    gone = region(6, 2, "a car", (1, 1, 5, 5))
    write(genome, pictures, [{"regions": regions, "id": 1}, {"regions": [gone], "id": 2}])
    (genome / "VG_100K" / "2.jpg").unlink()
    table = read_genome(genome, max_skipped=1)
    assert [row.captions for row in table.rows] == [("a clock",)]
    assert skipped(table) == {
        "region_descriptions.json:region_id 2": "empty phrase",
        "region_descriptions.json:region_id 3": "empty box: 1, 1, 0 wide and 5 high",
        "region_descriptions.json:region_id 4": "unknown picture: 9 is not in image_data.json",
        "region_descriptions.json:region_id 5": "malformed entry: KeyError('x')",
        "region_descriptions.json:entry 6": "malformed entry: TypeError(\"'int' object is not subscriptable\")",
        "image_data.json:image_id 7": "malformed entry: KeyError('url')",
        "region_descriptions.json:image_id 2": "missing image file: VG_100K/2.jpg",
    }
    assert table.skipped.total == 10
    with pytest.raises(DataError, match="7 of 10 rows cannot be used"):
        read_genome(genome)


@pytest.mark.parametrize("content", ["{", '{"regions": []}', '[{"id": 1}]', "[1]"])
def test_another_format_is_refused(genome: Path, content: str) -> None:
    (genome / "region_descriptions.json").write_text(content)
    with pytest.raises(DataError, match=r"region_descriptions.json is not in Visual Genome's format"):
        read_genome(genome, max_skipped=1)


def test_without_the_list_of_pictures(genome: Path) -> None:
    (genome / "image_data.json").unlink()
    with pytest.raises(DataError, match=r"no image_data.json; unpack"):
        read_genome(genome)
