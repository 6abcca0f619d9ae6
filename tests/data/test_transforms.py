"""Pictures to tensors: the three ways to fit, random views, values by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from amodal.data import transforms
from amodal.data.transforms import Fit, fit_picture, pixels_of, random_view, to_tensor

Whole = tuple[int, int, int, int]
RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def striped(wide: bool = True) -> Image.Image:
    """30 x 10: a red, a green and a blue square side by side; or the same on end."""
    values = np.zeros((10, 30, 3), np.uint8)
    for number, color in enumerate((RED, GREEN, BLUE)):
        values[:, 10 * number : 10 * number + 10] = color
    return Image.fromarray(values if wide else values.transpose(1, 0, 2).copy())


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8))


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("wide", [True, False])
def test_fit_modes(wide: bool) -> None:
    def at(pixels: torch.Tensor, along: int, across: int) -> tuple[int, ...]:
        x, y = (along, across) if wide else (across, along)
        return tuple(pixels[:, y, x].tolist())

    squashed = fit_picture(striped(wide), 30, "squash")
    assert [at(squashed, x, 15) for x in (3, 15, 26)] == [RED, GREEN, BLUE]
    cropped = fit_picture(striped(wide), 10, "crop")
    assert (cropped == torch.tensor(GREEN)[:, None, None]).all()
    padded = fit_picture(striped(wide), 30, "pad")
    assert [at(padded, x, 15) for x in (3, 15, 26)] == [RED, GREEN, BLUE]
    assert at(padded, 3, 3) == at(padded, 15, 26) == WHITE
    assert (padded == 255).all(dim=0).float().mean().item() == pytest.approx(2 / 3)


@pytest.mark.parametrize("fit", ["squash", "crop", "pad"])
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (17, 17), (40, 23)])
def test_every_fit_gives_the_size_asked(fit: Fit, size: tuple[int, int]) -> None:
    assert fit_picture(noise(*size), 16, fit).shape == (3, 16, 16)


def test_a_square_picture_of_the_size_comes_back_as_it_is() -> None:
    image = noise(16, 16)
    for fit in ("squash", "crop", "pad"):
        assert torch.equal(fit_picture(image, 16, fit), pixels_of(image))


@pytest.mark.parametrize(
    ("fit", "box", "size"),
    [
        ("squash", (0, 0, 400, 301), (64, 64)),
        ("pad", (0, 0, 400, 301), (64, 48)),
        ("crop", (50, 0, 351, 301), (64, 64)),  # the centre lies between two pixels and is rounded
    ],
)
def test_large_pictures_are_resized_as_pil_does(
    fit: Fit, box: tuple[int, int, int, int], size: tuple[int, int]
) -> None:
    rough = np.asarray(noise(400, 301), np.int64) - 128 + np.asarray(noise(12, 10).resize((400, 301)), np.int64)
    image = Image.fromarray(rough.clip(0, 255).astype(np.uint8))
    expected = Image.new("RGB", (64, 64), "white")
    expected.paste(image.crop(box).resize(size, Image.Resampling.BICUBIC), (0, (64 - size[1]) // 2))
    difference = (fit_picture(image, 64, fit).int() - pixels_of(expected).int()).abs()
    assert difference.max() <= 1
    assert difference.float().mean() < 0.05


def test_to_tensor_by_hand() -> None:
    values = np.zeros((2, 3, 3), np.uint8)
    values[1, 2] = (255, 51, 0)
    tensor = to_tensor(pixels_of(Image.fromarray(values)), (0.5, 0.2, 0.1), (0.5, 0.1, 0.2))
    assert tensor.shape == (3, 2, 3)
    assert tensor.dtype == torch.float32
    torch.testing.assert_close(tensor[:, 1, 2], torch.tensor([1.0, 0.0, -0.5]))
    torch.testing.assert_close(tensor[:, 0, 0], torch.tensor([-1.0, -2.0, -0.5]))


def test_a_view_depends_on_its_generator_alone() -> None:
    image = noise(40, 30)

    def views() -> list[np.ndarray]:
        draws = [drawn(seed) for seed in range(6)]
        return [random_view(image, 16, draw, smallest=0.3, rotate=20.0, jitter=0.3).numpy() for draw in draws]

    one = views()
    torch.manual_seed(123)
    two = views()
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))
    assert len({view.tobytes() for view in one}) == 6


@pytest.mark.parametrize("size", [(1, 1), (1, 200), (200, 1), (31, 57)])
@pytest.mark.parametrize("smallest", [0.01, 0.5, 1.0])
def test_any_picture_gives_a_view_within_bounds(size: tuple[int, int], smallest: float) -> None:
    image = noise(*size)
    for seed in range(20):
        assert random_view(image, 8, drawn(seed), smallest=smallest, rotate=30, jitter=0.5).shape == (3, 8, 8)


def test_a_view_is_no_smaller_than_the_share_and_never_leaves_the_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    boxes: list[transforms.Box] = []
    resized = transforms._resized

    def spy(image: Image.Image, size: tuple[int, int], box: transforms.Box) -> torch.Tensor:
        boxes.append(box)
        return resized(image, size, box)

    monkeypatch.setattr(transforms, "_resized", spy)
    image = noise(60, 40)
    for seed in range(200):
        random_view(image, 8, drawn(seed), smallest=0.4)
    assert len(boxes) == 200
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= 60
        assert 0 <= top < bottom <= 40
    shares = [(right - left) * (bottom - top) / 2400 for left, top, right, bottom in boxes]
    assert max(shares) > 0.9
    assert min(shares) < 0.5  # the whole range is used
    assert min(shares) >= 0.4 * 0.75  # a crop wider than the picture is cut, at most by the aspect of 4/3


def test_mirroring_can_be_forbidden_and_else_happens_half_the_time() -> None:
    image = Image.fromarray(np.repeat(np.arange(0, 240, 8, dtype=np.uint8)[None, :, None], 30, 0).repeat(3, 2))

    def mirrored(flip: bool) -> int:
        views = [random_view(image, 8, drawn(seed), flip=flip) for seed in range(100)]
        return sum(bool(view[:, :, 0].sum() > view[:, :, -1].sum()) for view in views)

    assert mirrored(False) == 0
    assert 30 < mirrored(True) < 70


def test_turning_fills_with_white_and_jitter_stays_within_its_limit() -> None:
    black = Image.new("RGB", (40, 40))
    assert random_view(black, 40, drawn(1), smallest=1.0, rotate=45.0).max() == 255
    assert random_view(black, 40, drawn(1), smallest=1.0).max() == 0
    grey = Image.new("RGB", (8, 8), (100, 100, 100))
    values = np.array([random_view(grey, 4, drawn(seed), jitter=0.2)[:, 0, 0].numpy() for seed in range(100)])
    assert values.min() >= 79
    assert values.max() <= 120
    assert values.std(axis=0).min() > 5  # every channel by itself
    assert (values.std(axis=1) > 0).any()
