"""The one place where a recipe's names become towers, heads, tokenizers and tasks."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from amodal.core.errors import RecipeError
from amodal.core.ranks import ALONE, Ranks
from amodal.data.tokenizers import Tokenizer, load_tokenizer, train_bpe, train_words
from amodal.features import FeatureCache, text_features, text_name
from amodal.models import DualEncoder, KernelRegression, ProjectionHead, TrainedAndSolved, WordSpace
from amodal.objectives import DoubtingInfoNCE, InfoNCE, SigmoidLoss, TripletLoss
from amodal.recipes.schema import HeadConfig, ImageTowerConfig, ModelConfig, TaskConfig, TextTowerConfig
from amodal.tasks import Contrastive, Queued
from amodal.towers import (
    PACKAGED_IMAGE,
    ConSETower,
    HuggingFaceTextTower,
    TextTransformer,
    TimmTower,
    class_texts,
    packaged_image_network,
    packaged_text_folder,
    timm_network,
    timm_source,
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
    described: Mapping[str, Any] | None = None,
) -> Built:
    """The model of a recipe, freshly initialised where nothing is pretrained.

    captions: what our own Transformer's tokenizer is trained on; pairs: which pair each belongs to, by default one of
    its own; tokenizer: or the file of one already trained.
    described: what `describe_towers` gave for a run whose weights will be loaded, so that what they hold is neither
    fetched nor computed. Raises RecipeError.
    """
    words = _tokenizer(config.text, captions, pairs or captions, tokenizer)
    text_tower = _text_tower(config.text, words, described)
    image_tower = _image_tower(
        config.image,
        described,
        lambda num_classes: (
            class_text_vectors(text_tower, words, cache, num_classes)
            if described is None
            else torch.ones(num_classes, text_tower.width)
        ),
    )
    for tower, part in ((image_tower, config.image), (text_tower, config.text)):
        if not part.trainable:
            tower.requires_grad_(False)
            if part.tower == "packaged":
                _mark_as_packaged(tower)
    image_head: nn.Module = build_head(image_tower.width, config.width, config.image_head)
    text_head: nn.Module = build_head(text_tower.width, config.width, config.text_head)
    if config.anchors:
        regression = KernelRegression(image_tower.width, text_tower.width, anchors=config.anchors)
        image_head = TrainedAndSolved(image_head, regression)
        text_head = TrainedAndSolved(text_head, WordSpace(text_tower.width))
    return Built(DualEncoder(image_tower, text_tower, image_head, text_head), words)


def describe_towers(config: ModelConfig, model: DualEncoder) -> dict[str, Any]:
    """What a hub or a folder said of the towers beside their weights, as JSON: with it a run needs neither again."""
    image = timm_source(config.image.name) if config.image.tower == "timm" else {}
    if config.text.tower != "huggingface":
        return {"image": image, "text": {}}
    return {"image": image, "text": json.loads(model.text_tower.network.config.to_json_string(use_diff=False))}


def build_task(
    config: TaskConfig, model: DualEncoder, width: int, *, ranks: Ranks = ALONE, precision: torch.dtype = torch.float32
) -> Contrastive | Queued:
    """The task of a recipe for a model of this width; see `Contrastive`."""
    together: dict[str, Any] = {"ranks": ranks, "precision": precision}
    scale: dict[str, Any] = {} if config.initial_scale is None else {"initial_scale": config.initial_scale}
    learned, smoothing = config.learn_scale, config.label_smoothing
    builders: dict[str, Callable[[], nn.Module]] = {
        "infonce": lambda: InfoNCE(**scale, learned=learned, label_smoothing=smoothing),
        "decoupled": lambda: InfoNCE(**scale, learned=learned, decoupled=True),
        "sigmoid": lambda: SigmoidLoss(**scale),
        "triplet": lambda: TripletLoss(config.margin, config.negatives),
    }
    if config.queue:
        objective = InfoNCE(**scale, learned=learned)
        return Queued(model, objective, queue=config.queue, width=width, momentum=config.momentum, **together)
    if config.doubt:
        return Contrastive(DoubtingInfoNCE(config.doubt, **scale, learned=learned), **together)
    return Contrastive(builders[config.objective](), **together)


def build_head(width: int, out: int, config: HeadConfig) -> ProjectionHead:
    """A fresh head from a tower's width to that of the joint space."""
    return ProjectionHead(width, out, **config.model_dump())


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


def _text_tower(config: TextTowerConfig, words: Tokenizer, described: Mapping[str, Any] | None) -> Any:
    if config.tower == "packaged":
        return HuggingFaceTextTower(str(packaged_text_folder()))
    if config.tower == "huggingface":
        pooling = "first" if config.pooling == "first" else "mean"
        from transformers import AutoConfig

        known = None
        if described and described["text"]:
            known = AutoConfig.for_model(**described["text"])
        elif not config.pretrained:
            known = AutoConfig.for_model(config.source, **{"vocab_size": words.vocabulary, **config.options})
        pretrained = config.pretrained and described is None
        return HuggingFaceTextTower(config.source, pooling=pooling, pretrained=pretrained, config=known)
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


ClassVectors = Callable[[int], Tensor]
"""Number of classes K -> one text vector a class, (K, E)."""


def _image_tower(config: ImageTowerConfig, described: Mapping[str, Any] | None, class_vectors: ClassVectors) -> Any:
    if config.tower == "packaged" and config.name not in PACKAGED_IMAGE:
        raise RecipeError(f"model.image.name: no packaged tower {config.name!r}; there are {', '.join(PACKAGED_IMAGE)}")
    packaged = PACKAGED_IMAGE[config.name] if config.tower == "packaged" else None
    pretrained = config.pretrained and packaged is None and described is None
    known = described["image"] if described else None
    if config.conse:
        network: Any = (
            timm_network(config.name, pretrained=pretrained, options=config.options, known=known)
            if packaged is None
            else packaged_image_network(config.name)
        )
        size = config.image_size or network.pretrained_cfg["input_size"][-1]
        tower: Any = ConSETower(network, class_vectors(network.num_classes), size=size, style=config.style)
    else:
        tower = TimmTower(
            config.name if packaged is None else packaged.timm_name,
            image_size=config.image_size or (0 if packaged is None else packaged.image_size),
            pretrained=pretrained,
            options=config.options,
            known=known,
            statistics=config.statistics,
        )
        if packaged is not None:
            tower.network.load_state_dict(
                packaged_image_network(config.name).state_dict(), strict=False
            )  # no classifier
    tower.preprocessing = replace(tower.preprocessing, fit=config.fit)
    return tower


def _mark_as_packaged(tower: nn.Module) -> None:
    """A packaged network is never stored: it comes back from its package. What was made for this model is."""
    for part in tower.modules():
        for name in ("network", "head"):
            network: Any = getattr(part, name, None)
            if network is not None:
                network.frozen_from_source = True


def class_text_vectors(text_tower: nn.Module, words: Tokenizer, cache: FeatureCache, num_classes: int) -> Tensor:
    """One vector a class: the mean of the unit-length vectors of all that is said of it. -> (K, E)"""
    said = class_texts(num_classes)
    was_training = text_tower.training
    flat = text_features(
        text_tower.eval(),
        words,
        [text for texts in said for text in texts],
        name=text_name(text_tower, words),
        cache=cache,
        device=torch.device("cpu"),
    )
    text_tower.train(was_training)
    parts = nn.functional.normalize(flat, dim=-1).split([len(texts) for texts in said])
    return torch.stack([part.mean(dim=0) for part in parts])
