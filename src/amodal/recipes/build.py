"""The one place where a recipe's names become towers, heads, tokenizers and tasks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.errors import RecipeError
from amodal.data.tokenizers import Tokenizer, load_tokenizer, train_bpe, train_words
from amodal.features import FeatureCache, text_features
from amodal.models import DualEncoder, EnsembleHead, ProjectionHead
from amodal.objectives import InfoNCE
from amodal.recipes.schema import HeadConfig, ImageTowerConfig, ModelConfig, TaskConfig, TextTowerConfig
from amodal.tasks import Contrastive
from amodal.towers import (
    PACKAGED_IMAGE,
    ConSETower,
    HuggingFaceTextTower,
    TextTransformer,
    TimmTower,
    class_texts,
    packaged_image_network,
    packaged_text_folder,
)


@dataclass(frozen=True)
class Built:
    """A model with the tokenizer its text tower reads."""

    model: DualEncoder
    tokenizer: Tokenizer


def build_model(
    config: ModelConfig,
    *,
    cache: FeatureCache,
    captions: Sequence[str] = (),
    pairs: Sequence[str] = (),
    tokenizer: Path | None = None,
    weights_follow: bool = False,
) -> Built:
    """The model of a recipe, freshly initialised where nothing is pretrained.

    captions: what our own Transformer's tokenizer is trained on; pairs: which pair each belongs to, by default one of
    its own; tokenizer: or the file of one already trained.
    weights_follow: a run's weights will be loaded, so what they hold need not be computed. Raises RecipeError.
    """
    words = _tokenizer(config.text, captions, pairs or captions, tokenizer)
    text_tower = _text_tower(config.text, words)
    image_tower = _image_tower(
        config.image,
        lambda num_classes: (
            torch.ones(num_classes, text_tower.width)
            if weights_follow
            else class_text_vectors(text_tower, words, cache, num_classes)
        ),
    )
    for tower, part in ((image_tower, config.image), (text_tower, config.text)):
        if not part.trainable:
            tower.requires_grad_(False)
            if part.tower == "packaged":
                _mark_as_packaged(tower)
    image_head = _heads(image_tower.width, config, config.image_head)
    return Built(
        DualEncoder(image_tower, text_tower, image_head, _heads(text_tower.width, config, config.text_head)), words
    )


def build_task(config: TaskConfig, *, heads: int) -> Contrastive:
    """The task of a recipe."""
    return Contrastive(InfoNCE(config.initial_scale), heads=heads)


def _heads(width: int, config: ModelConfig, head: HeadConfig) -> nn.Module:
    parts = [
        ProjectionHead(width, config.width, hidden=head.hidden, dropout=head.dropout, noise=head.noise)
        for _ in range(config.heads)
    ]
    return EnsembleHead(parts) if config.heads > 1 else parts[0]


def _tokenizer(config: TextTowerConfig, captions: Sequence[str], pairs: Sequence[str], file: Path | None) -> Tokenizer:
    if file is not None:
        return load_tokenizer(file, context_length=config.context_length)
    if config.tower == "packaged":
        return load_tokenizer(packaged_text_folder(), context_length=config.context_length)
    if config.tokenizer:
        return load_tokenizer(Path(config.tokenizer), context_length=config.context_length)
    if config.tower == "transformer" and config.shared_by:
        return train_words(captions, pairs, shared_by=config.shared_by, context_length=config.context_length)
    if config.tower == "transformer":
        return train_bpe(captions, vocabulary=config.vocabulary, context_length=config.context_length)
    return _hub_tokenizer(config)


def _hub_tokenizer(config: TextTowerConfig) -> Tokenizer:
    """The fast tokenizer that a Hugging Face model comes with."""
    if not config.pretrained:
        raise RecipeError(
            "model.text.tokenizer is needed for a Hugging Face text tower without weights: the path of a tokenizer.json"
        )
    from transformers import AutoTokenizer

    try:
        fast = AutoTokenizer.from_pretrained(config.source, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise RecipeError(
            f"cannot load the tokenizer of {config.source!r}: {error}; or give model.text.tokenizer"
        ) from error
    return Tokenizer(fast.backend_tokenizer, context_length=config.context_length)


def _text_tower(config: TextTowerConfig, words: Tokenizer) -> Any:
    if config.tower == "packaged":
        return HuggingFaceTextTower(str(packaged_text_folder()))
    if config.tower == "huggingface":
        pooling = "first" if config.pooling == "first" else "mean"
        fresh = None
        if not config.pretrained:
            from transformers import AutoConfig

            fresh = AutoConfig.for_model(config.source, **{"vocab_size": words.vocabulary, **config.options})
        return HuggingFaceTextTower(config.source, pooling=pooling, pretrained=config.pretrained, config=fresh)
    if config.pooling == "first":
        raise RecipeError("model.text.pooling: our own Transformer pools at the end token or the mean; say end or mean")
    return TextTransformer(
        vocabulary=words.vocabulary,
        width=config.width,
        depth=config.depth,
        heads=config.heads,
        context_length=config.context_length,
        causal=config.causal,
        pooling=config.pooling,
        dropout=config.dropout,
    )


Describe = Callable[[int], Tensor]
"""Number of classes K -> one text vector a class, (K, E)."""


def _image_tower(config: ImageTowerConfig, describe: Describe) -> Any:
    if config.tower == "packaged" and config.name not in PACKAGED_IMAGE:
        raise RecipeError(f"model.image.name: no packaged tower {config.name!r}; there are {', '.join(PACKAGED_IMAGE)}")
    if config.conse:
        tower: Any = _conse_tower(config, describe)
    else:
        tower = TimmTower(
            config.name if config.tower == "timm" else PACKAGED_IMAGE[config.name].timm_name,
            image_size=config.image_size
            or (PACKAGED_IMAGE[config.name].image_size if config.tower == "packaged" else 0),
            pretrained=config.pretrained and config.tower == "timm",
            options=config.options,
        )
        if config.tower == "packaged":
            tower.network.load_state_dict(
                packaged_image_network(config.name).state_dict(), strict=False
            )  # no classifier
    tower.preprocessing = replace(tower.preprocessing, fit=config.fit)
    return tower


def _conse_tower(config: ImageTowerConfig, describe: Describe) -> ConSETower:
    network: Any = packaged_image_network(config.name) if config.tower == "packaged" else _timm_classifier(config)
    size = config.image_size or network.pretrained_cfg["input_size"][-1]
    return ConSETower(network, describe(network.num_classes), size=size, style=config.style)


def _mark_as_packaged(tower: nn.Module) -> None:
    """A packaged network is never stored: it comes back from its package. What was made for this model is."""
    for part in tower.modules():
        for name in ("network", "head"):
            network: Any = getattr(part, name, None)
            if network is not None:
                network.frozen_from_source = True


def _timm_classifier(config: ImageTowerConfig) -> nn.Module:
    import timm

    return timm.create_model(config.name, pretrained=config.pretrained, **config.options)


def class_text_vectors(text_tower: nn.Module, words: Tokenizer, cache: FeatureCache, num_classes: int) -> Tensor:
    """One vector a class: the mean of the unit-length vectors of all that is said of it. -> (K, E)"""
    said = class_texts(num_classes)
    was_training = text_tower.training
    flat = text_features(
        text_tower.eval(), words, [text for texts in said for text in texts], cache=cache, device=torch.device("cpu")
    )
    text_tower.train(was_training)
    parts = nn.functional.normalize(flat, dim=-1).split([len(texts) for texts in said])
    return torch.stack([part.mean(dim=0) for part in parts])
