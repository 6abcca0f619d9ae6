"""Decoding: pixel values for every kind of picture, a reason for every broken one, nothing else on random damage."""

import io
import pickle
import random
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from amodal.core.errors import DataError
from amodal.data.pictures import (
    MAX_PIXELS,
    BrokenPicture,
    BytesRef,
    FileRef,
    ImageRef,
    PictureRef,
    PixelRef,
    SpanRef,
    UnreadPicture,
    check_format,
    decode_picture,
)

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def noise(width: int = 40, height: int = 30) -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values)


def corners(image: Image.Image) -> tuple[object, ...]:
    width, height = image.size
    return tuple(image.getpixel(at) for at in ((0, 0), (width - 1, 0), (0, height - 1), (width - 1, height - 1)))


def png_header(width: int, height: int) -> bytes:
    """A PNG that says its size and holds next to nothing."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF"])
def test_lossless_formats_keep_the_pixels(kind: str) -> None:
    flat = Image.new("RGB", (4, 3), (10, 200, 30))
    seen = decode_picture(encoded(flat, kind))
    assert seen.mode == "RGB"
    assert seen.size == (4, 3)
    assert corners(seen) == ((10, 200, 30),) * 4


def test_webp_lossless_and_jpeg() -> None:
    picture = noise()
    assert np.array_equal(np.asarray(decode_picture(encoded(picture, "WEBP", lossless=True))), np.asarray(picture))
    flat = decode_picture(encoded(Image.new("RGB", (16, 16), (120, 60, 200)), "JPEG", quality=95))
    assert np.abs(np.asarray(flat).astype(int) - (120, 60, 200)).max() <= 3


def test_grey_palette_and_one_bit() -> None:
    assert corners(decode_picture(encoded(Image.new("L", (2, 2), 77)))) == ((77, 77, 77),) * 4
    assert corners(decode_picture(encoded(Image.new("RGB", (2, 2), RED).quantize(4)))) == (RED,) * 4
    assert corners(decode_picture(encoded(Image.new("1", (2, 2), 1)))) == (WHITE,) * 4


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 257, 32896, 65535]], dtype=np.uint16)
    seen = decode_picture(encoded(Image.fromarray(values), kind))
    assert np.asarray(seen)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_big_endian_and_32_bit_grey() -> None:
    ramp = [[0, 257, 32896, 65535]]
    big = encoded(Image.frombytes("I;16B", (4, 1), np.array(ramp, dtype=">u2").tobytes()), "TIFF")
    wide = encoded(Image.fromarray(np.array(ramp, dtype=np.int32)), "TIFF")
    over = encoded(Image.fromarray(np.array([[-1000, 0, 99_000]], dtype=np.int32)), "TIFF")
    for content in (big, wide):
        assert np.asarray(decode_picture(content))[0, :, 0].tolist() == [0, 1, 128, 255]
    assert np.asarray(decode_picture(over))[0, :, 0].tolist() == [0, 3, 255]


def test_float_grey_even_with_nan() -> None:
    values = np.array([[0.0, 0.5, 1.0, np.nan]], dtype=np.float32)
    seen = decode_picture(encoded(Image.fromarray(values), "TIFF"))
    assert np.asarray(seen)[0, :, 0].tolist() == [0, 128, 255, 0]


def test_transparency_shows_the_background() -> None:
    half = encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 128)))
    assert corners(decode_picture(half))[0] == (255, 127, 127)
    clear = encoded(Image.new("LA", (2, 2), (0, 0)))
    assert corners(decode_picture(clear)) == (WHITE,) * 4
    assert corners(decode_picture(clear, background=BLUE)) == (BLUE,) * 4


def test_transparent_palette_rgb_and_16_bit() -> None:
    palette = Image.new("P", (2, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0])
    palette.putpixel((1, 0), 1)
    assert corners(decode_picture(encoded(palette, "PNG", transparency=0)))[:2] == (WHITE, GREEN)
    assert corners(decode_picture(encoded(palette, "GIF", transparency=0)))[:2] == (WHITE, GREEN)
    assert corners(decode_picture(encoded(Image.new("RGB", (1, 1), RED), transparency=RED)))[0] == WHITE
    deep = Image.fromarray(np.array([[0, 65535]], dtype=np.uint16))
    content = encoded(deep, transparency=0)
    assert np.asarray(decode_picture(content, background=BLUE))[0].tolist() == [list(BLUE), list(WHITE)]


def test_cmyk_jpeg() -> None:
    seen = decode_picture(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    assert np.abs(np.asarray(seen).astype(int) - RED).max() <= 4


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})])
def test_first_frame_of_an_animation(kind: str, options: dict[str, object]) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in (RED, GREEN, BLUE)]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert corners(decode_picture(content)) == (RED,) * 4


def test_exif_orientation() -> None:
    """A red left half, tagged 'rotate 90 clockwise to view' (6), is a red top half."""
    picture = Image.new("RGB", (32, 16), BLUE)
    picture.paste(RED, (0, 0, 16, 16))
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = decode_picture(encoded(picture, "JPEG", exif=exif, quality=95))
    assert seen.size == (16, 32)
    assert np.abs(np.asarray(seen)[2, 8].astype(int) - RED).max() < 20
    assert np.abs(np.asarray(seen)[29, 8].astype(int) - BLUE).max() < 20


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_every_orientation_agrees_with_pil(orientation: int, kind: str) -> None:
    from PIL import ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = encoded(noise(5, 3), kind, exif=exif, **options)
    with Image.open(io.BytesIO(content)) as image:
        wanted = ImageOps.exif_transpose(image).convert("RGB")
    assert np.array_equal(np.asarray(decode_picture(content)), np.asarray(wanted))


@pytest.mark.filterwarnings("ignore:Corrupt EXIF")
def test_damaged_exif_is_upright() -> None:
    content = encoded(Image.new("RGB", (8, 4), RED), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert decode_picture(content).size == (8, 4)


def test_draft_keeps_twice_the_asked_side() -> None:
    content = encoded(noise(800, 600), "JPEG")
    assert decode_picture(content, at_least=50).size == (200, 150)
    assert decode_picture(content, at_least=75).size == (200, 150)
    assert decode_picture(content, at_least=76).size == (400, 300)
    assert decode_picture(content, at_least=301).size == (800, 600)
    assert decode_picture(encoded(noise(800, 600)), at_least=50).size == (800, 600)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"I am a letter, not a picture.\n" * 9, "text, not a picture"),
        (b"<!DOCTYPE html><html>", "text, not a picture"),
        (bytes(range(128, 228)), "no known picture format"),
        (png_header(0, 5), "zero pixels"),
        (png_header(5, 0), "zero pixels"),
        (png_header(60_000, 60_000), "too many pixels"),
        (png_header(MAX_PIXELS, 2), "too many pixels"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "text, not a picture"),
    ],
)
def test_broken_pictures_say_why(content: bytes, reason: str) -> None:
    with pytest.raises(BrokenPicture, match=reason):
        decode_picture(content)
    assert issubclass(BrokenPicture, DataError)


def test_heic_is_read_with_its_extra_and_told_without(monkeypatch: pytest.MonkeyPatch) -> None:
    heif = pytest.importorskip("pillow_heif")
    stream = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (64, 48), (200, 40, 40))).save(stream)
    seen = decode_picture(stream.getvalue())
    assert (seen.mode, seen.size) == ("RGB", (64, 48))
    assert np.abs(np.asarray(seen).reshape(-1, 3).mean(axis=0) - (200, 40, 40)).max() < 8
    check_format(stream.getvalue())
    monkeypatch.setattr("amodal.data.pictures._formats", lambda: ("JPEG", "PNG"))
    with pytest.raises(BrokenPicture, match=r"pip install amodal\[heic\]"):
        decode_picture(stream.getvalue())
    with pytest.raises(UnreadPicture, match=r"pip install amodal\[heic\]"):
        check_format(stream.getvalue())


def test_bomb_is_refused_whatever_pil_is_set_to(monkeypatch: pytest.MonkeyPatch) -> None:
    for limit in (None, 10**12, 1):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(BrokenPicture, match="too many pixels"):
            decode_picture(png_header(20_000, 20_000))
        assert limit == Image.MAX_IMAGE_PIXELS


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
    ],
)
@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9])
def test_truncated_pictures_are_refused(kind: str, options: dict[str, object], kept: float) -> None:
    content = encoded(noise(), kind, **options)
    with pytest.raises(BrokenPicture):
        decode_picture(content[: int(kept * len(content))])


def damaged(content: bytes, cases: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(cases):
        spoilt = bytearray(content)
        for _ in range(chance.randint(1, 8)):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        yield bytes(spoilt)


def count_survivors(kind: str, cases: int) -> int:
    """How many of the damaged pictures still decode; any error but BrokenPicture escapes."""
    exif = Image.Exif()
    exif[0x0112] = 3
    survivors = 0
    for spoilt in damaged(encoded(noise(24, 16), kind, exif=exif), cases, seed=len(kind)):
        try:
            assert decode_picture(spoilt).mode == "RGB"
            survivors += 1
        except BrokenPicture:
            pass
    return survivors


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_random_damage_raises_nothing_else(kind: str) -> None:
    assert 0 <= count_survivors(kind, 200) < 200


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "GIF", "AVIF", "JPEG2000"])
def test_much_random_damage_raises_nothing_else(kind: str) -> None:
    picture = noise(24, 16)
    for spoilt in damaged(encoded(picture, kind), 5000, seed=1):
        try:
            decode_picture(spoilt)
        except BrokenPicture:
            continue


def test_references_read_the_same_picture(tmp_path: Path) -> None:
    picture = noise()
    content = encoded(picture)
    (tmp_path / "a.png").write_bytes(content)
    (tmp_path / "a.tar").write_bytes(b"x" * 7 + content + b"y" * 9)
    (tmp_path / "a.bin").write_bytes(b"l" + np.asarray(picture).transpose(2, 0, 1).tobytes())
    (tmp_path / "b.bin").write_bytes(np.asarray(picture).tobytes())
    refs: list[PictureRef] = [
        FileRef(tmp_path / "a.png"),
        SpanRef(tmp_path / "a.tar", 7, len(content)),
        BytesRef(content),
        ImageRef(picture),
        PixelRef(tmp_path / "a.bin", 1, 30, 40),
        PixelRef(tmp_path / "b.bin", 0, 30, 40, "interleaved"),
    ]
    for ref in refs:
        copy = pickle.loads(pickle.dumps(ref))
        assert copy == ref
        assert np.array_equal(np.asarray(copy.image()), np.asarray(picture))
        assert isinstance(ref, PictureRef)
    assert [ref.content() for ref in refs[:3]] == [content] * 3
    assert len({ref.identity(tmp_path) for ref in refs}) == len(refs)
    assert refs[0].identity(tmp_path) == f"file a.png {len(content)}"


def test_references_name_the_path_in_errors(tmp_path: Path) -> None:
    (tmp_path / "short.bin").write_bytes(bytes(10))
    (tmp_path / "letter.png").write_text("Dear all, this is no picture.")
    for ref, reason in [
        (FileRef(tmp_path / "gone.jpg"), "gone.jpg: cannot be read .No such file"),
        (FileRef(tmp_path), "cannot be read .Is a directory"),
        (FileRef(tmp_path / "nul\0.jpg"), "cannot be read"),
        (FileRef(tmp_path / "letter.png"), "letter.png: this is text"),
        (SpanRef(tmp_path / "short.bin", 4, 20), "short.bin: ends 14 bytes before"),
        (PixelRef(tmp_path / "short.bin", 0, 32, 32), "short.bin: ends"),
        (SpanRef(tmp_path / "short.bin", 2, 4), "short.bin at byte 2: no known picture"),
    ]:
        with pytest.raises(BrokenPicture, match=reason):
            ref.image()
