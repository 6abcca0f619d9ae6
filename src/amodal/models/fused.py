"""Two towers, any fusion, and heads that judge what came of it: whether words fit a picture, what a question asks.

B rows · P places · L words · D width · A answers
"""

from typing import Any, NamedTuple

from torch import Tensor, nn

from amodal.core.batch import Batch, Tokens


class FusedFeatures(NamedTuple):
    """joint_BD: picture and words in one vector; fit_B: the log-odds that the words fit the picture; answer_BA: logits
    of the answers, (B, 0) for a model without."""

    joint_BD: Tensor
    fit_B: Tensor
    answer_BA: Tensor


class Heads(nn.Module):
    """From a joint vector (B, D) to the log-odds that the words fit (B,) and to logits of A answers (B, A)."""

    def __init__(self, width: int, answers: int = 0) -> None:
        super().__init__()
        self.fit, self.answer = nn.Linear(width, 1), nn.Linear(width, answers) if answers else None

    def forward(self, joint_BD: Tensor) -> FusedFeatures:
        """-> FusedFeatures"""
        answer_BA = joint_BD.new_empty(len(joint_BD), 0) if self.answer is None else self.answer(joint_BD)
        return FusedFeatures(joint_BD, self.fit(joint_BD)[:, 0], answer_BA)


class Fused(nn.Module):
    """Towers and any of `amodal.fusion`; frozen towers may be fed as cached `Tokens`.

    A modality that a row lacks (`Batch.present`) is masked for that row.
    """

    def __init__(self, image_tower: nn.Module, text_tower: nn.Module, fusion: nn.Module, heads: Heads) -> None:
        super().__init__()
        self.image_tower, self.text_tower, self.fusion, self.heads = image_tower, text_tower, fusion, heads

    def forward(self, batch: Batch) -> FusedFeatures:
        """-> FusedFeatures. Raises ValueError when a modality is absent from the whole batch."""
        image, text = both(self, batch)
        if batch.picture is not None:
            image = Tokens(*(x[batch.picture] for x in image))
        image, text = (
            image._replace(mask=present(image.mask, batch, "image")),
            text._replace(mask=present(text.mask, batch, "text")),
        )
        return self.heads(self.fusion(image, text).pooled)


def both(model: Any, batch: Batch) -> tuple[Tokens, Tokens]:
    """What the model's towers say of the pictures (S) and the texts (B) of a batch, or said before.

    Raises ValueError when a modality is absent from the whole batch.
    """
    image, text = batch.image, batch.text
    if image is None and batch.pixels is not None:
        image = model.image_tower(batch.pixels)
    if text is None and batch.ids is not None and batch.ids_mask is not None:
        text = model.text_tower(batch.ids, batch.ids_mask)
    if image is None or text is None:
        raise ValueError(f"a fusion needs both modalities; this batch has no {'image' if image is None else 'text'}")
    return image, text


def present(mask_BL: Tensor, batch: Batch, modality: str) -> Tensor:
    """Tokens that are real and of a modality that their row has. -> (B, L)"""
    present_B = batch.present.get(modality)
    return mask_BL if present_B is None else mask_BL & present_B[:, None]
