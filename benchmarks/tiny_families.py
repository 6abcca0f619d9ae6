"""Tiny models of every family with seeded weights, saved as their own library saves them, and that library's own way to
ask them; for `families.py` beside this file and for the tests.

N pictures · M texts · D width of the joint space
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

SIZE, WIDTH, CONTEXT = 32, 32, 16
TEXTS = (
    "cat",
    "a photo of a cat",
    "Two DOGS, and a café!",
    "",
    "a very long story of a red circle beside a blue square under a yellow triangle that goes on and on " * 2,
)
SIDE: dict[str, Any] = {"hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
SEEN: dict[str, Any] = {**SIDE, "image_size": SIZE, "patch_size": 8}
PACKED = {name: value for name, value in SEEN.items() if name != "image_size"}


@dataclass(frozen=True)
class Peer:
    """A saved model: what `amodal.load` is given, and how its library itself encodes; unit vectors (N, D), (M, D)."""

    source: str
    images: Callable[[Sequence[Image.Image]], np.ndarray]
    texts: Callable[[Sequence[str]], np.ndarray]


def pictures() -> list[Image.Image]:
    """Wide, tall, square, tiny, grey, palette and opaque RGBA pictures of noise on slopes, the same every time."""
    draw, made = np.random.default_rng(0), []
    for width, height in ((90, 60), (50, 120), (64, 64), (20, 17), (333, 41)):
        slope = np.linspace(0, 160, width)[None, :, None] + np.linspace(0, 60, height)[:, None, None] * [1.0, 0.2, -1.0]
        noisy = slope + draw.uniform(0, 60, (height, width, 3))
        made.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    return [*made, made[0].convert("L"), made[1].convert("P"), made[0].convert("RGBA")]


def seeded(network: nn.Module) -> Any:
    """The network with large random weights: with small ones every input gives nearly the same vector."""
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in sorted(network.named_parameters()):
            if parameter.ndim > 1:
                fan_in = 1 if "embedding" in name and "patch" not in name else parameter[0].numel()
                parameter.copy_(torch.randn(parameter.shape, generator=draw) * fan_in**-0.5)
    return network.eval()


def _trained(folder: Path, inner: Any, trainer: Any, frame: Callable[[Any], Any], **told: Any) -> Any:
    """A tokenizer of a few hundred pieces; told: what transformers is to know of it."""
    inner.train_from_iterator([*TEXTS, "the quick brown fox jumps over the lazy dog"] * 2, trainer)
    inner.post_processor = frame(inner)
    folder.mkdir(parents=True, exist_ok=True)
    return PreTrainedTokenizerFast(tokenizer_object=inner, **told)


def _framing(start: str, end: str) -> Callable[[Any], Any]:
    def frame(inner: Any) -> Any:
        special = [(token, inner.token_to_id(token)) for token in (start, end) if token]
        return processors.TemplateProcessing(single=f"{start} $A {end}".strip(), special_tokens=special)

    return frame


def bpe(folder: Path, *, start: str, end: str, pad: str, context: int = CONTEXT, **told: Any) -> Any:
    """Lower-case byte-level BPE as CLIP's, or with start "" as SigLIP's."""
    inner = tokenizers.Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    inner.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()])
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = list(dict.fromkeys(token for token in (pad, start, end) if token))
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    names = {"bos_token": start or None, "eos_token": end, "pad_token": pad, "unk_token": end}
    return _trained(folder, inner, trainer, _framing(start, end), **names, model_max_length=context, **told)


def wordpiece(folder: Path, context: int = CONTEXT) -> Any:
    """Word pieces as BERT's."""
    inner = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    inner.normalizer, inner.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    names = dict(zip(("pad_token", "unk_token", "cls_token", "sep_token", "mask_token"), special, strict=True))
    return _trained(folder, inner, trainer, _framing("[CLS]", "[SEP]"), **names, model_max_length=context)


def unigram(folder: Path, context: int = CONTEXT) -> Any:
    """Pieces as XLM-RoBERTa's, whose padding has the number 1."""
    inner = tokenizers.Tokenizer(models.Unigram())
    inner.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False)
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
    framing = _framing("<s>", "</s>")
    return _trained(folder, inner, trainer, framing, **names, unk_token="<unk>", model_max_length=context)


def _clip_words(folder: Path) -> Any:
    names = ["input_ids", "attention_mask"]
    end = "<|endoftext|>"
    return bpe(folder, start="<|startoftext|>", end=end, pad=end, model_input_names=names)


def _clip_text(tokenizer: Any) -> dict[str, Any]:
    numbers = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    return {**SIDE, **numbers, "pad_token_id": tokenizer.pad_token_id, **_text(tokenizer)}


def _text(tokenizer: Any, positions: int = CONTEXT) -> dict[str, Any]:
    return {"vocab_size": len(tokenizer), "max_position_embeddings": positions}


def _square(kind: str) -> Any:
    """A picture processor of a class of transformers, at the tiny size."""
    crop = {"crop_size": {"height": SIZE, "width": SIZE}} if kind != "SiglipImageProcessor" else {}
    squashed = {"height": SIZE, "width": SIZE}
    size = squashed if kind in ("SiglipImageProcessor", "ViTImageProcessor") else {"shortest_edge": SIZE}
    return getattr(transformers, kind)(size=size, **({} if kind == "ViTImageProcessor" else crop))


def hub_peer(folder: Path, network: Any, processor: Any, tokenizer: Any, padding: Any, length: int | None) -> Peer:
    """Saved by `save_pretrained`, read again and asked as the documentation of transformers does it."""
    for part in (seeded(network), processor, tokenizer):
        part.save_pretrained(folder)
    asked = transformers.AutoModel.from_pretrained(folder).eval()
    looks = transformers.AutoImageProcessor.from_pretrained(folder)
    words = transformers.AutoTokenizer.from_pretrained(folder)
    limit = {} if length is None else {"max_length": length}

    def images(shown: Sequence[Image.Image]) -> np.ndarray:
        seen = looks(images=[image.convert("RGB") for image in shown], return_tensors="pt")
        return unit(asked.get_image_features(**seen))

    def texts(said: Sequence[str]) -> np.ndarray:
        return unit(
            asked.get_text_features(**words(list(said), padding=padding, truncation=True, return_tensors="pt", **limit))
        )

    return Peer(str(folder), images, texts)


@torch.no_grad()
def unit(said: Any) -> np.ndarray:
    """Features of unit length, whatever they come in. -> (N, D)"""
    found = said if isinstance(said, Tensor) else said.pooler_output
    return nn.functional.normalize(found if found.ndim == 2 else found[:, 0], dim=-1).detach().numpy()


def clip(folder: Path) -> Peer:
    """CLIP (Radford et al. 2021)."""
    words = _clip_words(folder)
    config = transformers.CLIPConfig(text_config=_clip_text(words), vision_config=SEEN, projection_dim=24)
    return hub_peer(folder, transformers.CLIPModel(config), _square("CLIPImageProcessor"), words, True, None)


def metaclip_2(folder: Path) -> Peer:
    """MetaCLIP 2 (Chuang et al. 2025)."""
    words = _clip_words(folder)
    config = transformers.MetaClip2Config(text_config=_clip_text(words), vision_config=SEEN, projection_dim=24)
    return hub_peer(folder, transformers.MetaClip2Model(config), _square("CLIPImageProcessor"), words, True, None)


def clipseg(folder: Path) -> Peer:
    """The CLIP inside CLIPSeg (Lueddecke and Ecker 2022)."""
    words = _clip_words(folder)
    config = transformers.CLIPSegConfig(text_config=_clip_text(words), vision_config=SEEN, projection_dim=24)
    return hub_peer(folder, transformers.CLIPSegModel(config), _square("ViTImageProcessor"), words, True, None)


def siglip(folder: Path) -> Peer:
    """SigLIP (Zhai et al. 2023): no mask, padded to its full length, the last place is the result."""
    words = bpe(folder, start="", end="</s>", pad="</s>", model_input_names=["input_ids"])
    text = {**SIDE, **_text(words), "projection_size": WIDTH}
    config = transformers.SiglipConfig(text_config=text, vision_config=SEEN)
    processor = _square("SiglipImageProcessor")
    return hub_peer(folder, transformers.SiglipModel(config), processor, words, "max_length", None)


def siglip2(folder: Path) -> Peer:
    """SigLIP 2 at any aspect (Tschannen et al. 2025): patches with a mask and a shape."""
    words = bpe(folder, start="", end="<eos>", pad="<pad>", model_input_names=["input_ids"])
    text = {**SIDE, **_text(words), "projection_size": WIDTH}
    config = transformers.Siglip2Config(text_config=text, vision_config={**PACKED, "num_patches": 16})
    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=16)
    return hub_peer(folder, transformers.Siglip2Model(config), processor, words, "max_length", None)


def align(folder: Path) -> Peer:
    """ALIGN (Jia et al. 2021): an EfficientNet and BERT, read at most 64 tokens."""
    words = wordpiece(folder, context=512)
    small = {"width_coefficient": 0.5, "depth_coefficient": 0.1, "hidden_dim": 24, "image_size": SIZE}
    text = {**SIDE, **_text(words, 512)}
    config = transformers.AlignConfig(text_config=text, vision_config=small, projection_dim=160)  # of its last stage
    processor = transformers.EfficientNetImageProcessor(size={"height": SIZE, "width": SIZE})
    return hub_peer(folder, transformers.AlignModel(config), processor, words, "max_length", 64)


def chinese_clip(folder: Path) -> Peer:
    """Chinese-CLIP (Yang et al. 2022): a ViT and BERT."""
    words = wordpiece(folder)
    config = transformers.ChineseCLIPConfig(text_config={**SIDE, **_text(words)}, vision_config=SEEN, projection_dim=24)
    processor = transformers.ChineseCLIPImageProcessor(size={"height": SIZE, "width": SIZE}, do_center_crop=False)
    return hub_peer(folder, transformers.ChineseCLIPModel(config), processor, words, True, None)


def altclip(folder: Path) -> Peer:
    """AltCLIP (Chen et al. 2022): a ViT and XLM-RoBERTa, whose positions begin at 2."""
    words = unigram(folder, context=512)
    text = {**SIDE, **_text(words, CONTEXT + 2), "project_dim": 24, "pad_token_id": words.pad_token_id}
    config = transformers.AltCLIPConfig(text_config=text, vision_config=SEEN, projection_dim=24)
    processor = _square("CLIPImageProcessor")
    return hub_peer(folder, transformers.AltCLIPModel(config), processor, words, True, CONTEXT)


def vision_text_dual_encoder(folder: Path) -> Peer:
    """LiT by transformers (Zhai et al. 2022): here a ViT and BERT."""
    words = wordpiece(folder)
    config = transformers.VisionTextDualEncoderConfig.from_vision_text_configs(
        transformers.ViTConfig(**SEEN), transformers.BertConfig(**SIDE, **_text(words)), projection_dim=24
    )
    network = transformers.VisionTextDualEncoderModel(config)
    return hub_peer(folder, network, _square("ViTImageProcessor"), words, True, None)


def groupvit(folder: Path) -> Peer:
    """GroupViT (Xu et al. 2022)."""
    words = _clip_words(folder)
    seen = {
        **SEEN,
        "num_hidden_layers": 3,
        "depths": [1, 1, 1],
        "num_group_tokens": [8, 4, 0],
        "num_output_groups": [8, 4, 4],
    }
    config = transformers.GroupViTConfig(
        text_config=_clip_text(words), vision_config=seen, projection_dim=24, projection_intermediate_dim=48
    )
    return hub_peer(folder, transformers.GroupViTModel(config), _square("CLIPImageProcessor"), words, True, None)


def owlvit(folder: Path) -> Peer:
    """The CLIP inside OWL-ViT (Minderer et al. 2022): texts of 16 tokens."""
    words = _clip_words(folder)
    config = transformers.OwlViTConfig(text_config=_clip_text(words), vision_config=SEEN, projection_dim=24)
    processor = transformers.OwlViTImageProcessor(size={"height": SIZE, "width": SIZE})
    return hub_peer(folder, transformers.OwlViTModel(config), processor, words, "max_length", 16)


OPEN_CLIP: dict[str, Any] = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": SIZE, "layers": 2, "width": WIDTH, "head_width": 16, "patch_size": 8},
    "text_cfg": {"context_length": CONTEXT, "vocab_size": 49408, "width": WIDTH, "heads": 2, "layers": 2},
}
OPEN_SIGLIP: dict[str, Any] = {
    "embed_dim": WIDTH,
    "init_logit_bias": -10,
    "custom_text": True,
    "vision_cfg": {"image_size": SIZE, "timm_model_name": "test_vit", "timm_pool": "map", "timm_proj": "none"},
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": 400, "hf_tokenizer_name": "in this folder",
        "tokenizer_kwargs": {"clean": "canonicalize"}, "width": WIDTH, "heads": 2, "layers": 2,
        "no_causal_mask": True, "proj_bias": True, "pool_type": "last", "norm_kwargs": {"eps": 1e-6},
    },
}  # fmt: skip


def open_clip_peer(folder: Path, model: dict[str, Any], picture: dict[str, Any]) -> Peer:
    """A folder as open_clip saves it for a hub, asked as its README does it."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": model, "preprocess_cfg": picture}))
    name = f"local-dir:{folder}"
    network = seeded(open_clip.create_model(name, load_weights=False))
    save_file({key: value.contiguous() for key, value in network.state_dict().items()}, folder / WEIGHTS)
    asked, _, prepare = open_clip.create_model_and_transforms(name)
    return Peer(str(folder), *open_clip_asks(asked.eval(), prepare, open_clip.get_tokenizer(name)))


WEIGHTS = "open_clip_model.safetensors"


def open_clip_asks(asked: Any, prepare: Any, words: Any) -> tuple[Any, Any]:
    """Its own ways to encode pictures and texts."""

    def images(shown: Sequence[Image.Image]) -> np.ndarray:
        # it learns from RGB pictures (webdataset's "pilrgb"); a palette it would resize before it looks up the colours
        return unit(asked.encode_image(torch.stack([prepare(image.convert("RGB")) for image in shown])))

    return images, lambda said: unit(asked.encode_text(words(list(said))))


def open_clip_clip(folder: Path) -> Peer:
    """open_clip's own CLIP."""
    return open_clip_peer(folder, OPEN_CLIP, {"size": SIZE, "mode": "RGB"})


def open_clip_siglip(folder: Path) -> Peer:
    """open_clip's SigLIP: a timm tower, squashed pictures, a tokenizer of transformers, texts without a mask."""
    words = bpe(folder, start="", end="</s>", pad="</s>")
    words.save_pretrained(folder)
    told = {**OPEN_SIGLIP, "text_cfg": {**OPEN_SIGLIP["text_cfg"], "vocab_size": len(words)}}
    mean = {"mean": [0.5] * 3, "std": [0.5] * 3, "interpolation": "bicubic", "resize_mode": "squash"}
    return open_clip_peer(folder, {**told, "embed_dim": 64}, {"size": SIZE, **mean})


def open_clip_file(folder: Path) -> Peer:
    """A named architecture of open_clip and a file of weights, here a pickle."""
    import open_clip

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "amodal-tiny.json").write_text(json.dumps(OPEN_CLIP))
    open_clip.add_model_config(folder / "amodal-tiny.json")
    torch.save(seeded(open_clip.create_model("amodal-tiny")).state_dict(), folder / "weights.pt")
    asked, _, prepare = open_clip.create_model_and_transforms("amodal-tiny", pretrained=str(folder / "weights.pt"))
    asks = open_clip_asks(asked.eval(), prepare, open_clip.get_tokenizer("amodal-tiny"))
    return Peer(f"open_clip:amodal-tiny:{folder / 'weights.pt'}", *asks)


def joined(folder: Path) -> Peer:
    """A timm network and a BERT, each in a folder. The vectors are those of the towers, before any head."""
    import timm
    from timm.data.config import resolve_data_config
    from timm.data.transforms_factory import create_transform
    from timm.models import save_for_hf

    words = wordpiece(folder / "bert")
    for part in (words, seeded(transformers.BertModel(transformers.BertConfig(**SIDE, **_text(words))))):
        part.save_pretrained(folder / "bert")
    network = timm.create_model("test_resnet")
    save_for_hf(network, str(folder / "network"), safe_serialization=True)
    seen = timm.create_model(f"local-dir:{folder / 'network'}", pretrained=True, num_classes=0).eval()
    prepare: Any = create_transform(**resolve_data_config({}, model=seen))
    read = transformers.BertModel.from_pretrained(folder / "bert").eval()

    def images(shown: Sequence[Image.Image]) -> np.ndarray:
        return unit(seen(torch.stack([prepare(image.convert("RGB")) for image in shown])))

    def texts(said: Sequence[str]) -> np.ndarray:
        found = words(list(said), padding=True, truncation=True, return_tensors="pt")
        weight = found["attention_mask"][..., None]
        return unit((read(**found).last_hidden_state * weight).sum(1) / weight.sum(1))

    return Peer(f"timm:local-dir:{folder / 'network'}+hf:{folder / 'bert'}", images, texts)


Family = Callable[[Path], Peer]
TRANSFORMERS: dict[str, Family] = {
    "CLIP": clip,
    "SigLIP": siglip,
    "SigLIP 2": siglip2,
    "ALIGN": align,
    "Chinese-CLIP": chinese_clip,
    "AltCLIP": altclip,
    "VisionTextDualEncoder": vision_text_dual_encoder,
    "MetaCLIP 2": metaclip_2,
    "CLIPSeg": clipseg,
    "GroupViT": groupvit,
    "OWL-ViT": owlvit,
}
OPENCLIP: dict[str, Family] = {
    "CLIP (folder)": open_clip_clip,
    "SigLIP (folder)": open_clip_siglip,
    "CLIP (file)": open_clip_file,
}
