"""Text towers from Hugging Face transformers, by name or local folder.

B texts · L tokens · D width
"""

import math
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.core.errors import RecipeError

PARTS, FEWEST_ROWS, FEWEST_ROWS_CPU = 8, 128, 16  # of a batch that is computed by length


class HuggingFaceTextTower(nn.Module):
    """An encoder of transformers with mean or first-token pooling. Ids (B, L) and mask -> Tokens (B, L, D).

    A batch is computed in parts of texts alike in length, so that little of it is padding; no result depends on that.
    source: a hub name or a local folder; pretrained=False builds the architecture of its config with fresh weights.
    Code from the hub is never run and only safetensors weights are read. Raises RecipeError when it cannot be loaded.
    """

    def __init__(
        self, source: str, *, pooling: Literal["mean", "first"] = "mean", pretrained: bool = True, config: Any = None
    ) -> None:
        super().__init__()
        from transformers import AutoConfig, AutoModel
        from transformers.utils.logging import disable_progress_bar

        disable_progress_bar()  # its bar says nothing a person needs: weights load in a blink

        try:
            config = config or AutoConfig.from_pretrained(source, trust_remote_code=False)
            if pretrained:
                self.network = AutoModel.from_pretrained(source, trust_remote_code=False, use_safetensors=True)
            else:
                self.network = AutoModel.from_config(config, trust_remote_code=False)
        except (OSError, ValueError) as error:
            where = "" if Path(source).exists() else "; without a network, give a local folder that holds the model"
            raise RecipeError(f"cannot load the text tower {source!r}: {error}{where}") from error
        self.pooling = pooling
        self.width: int = self.network.config.hidden_size
        self.context_length: int = getattr(self.network.config, "max_position_embeddings", 512)

    def extra_repr(self) -> str:
        """What the weights do not tell; `fingerprint` reads it."""
        return f"pooling={self.pooling}"

    def forward(self, ids: Tensor, mask: Tensor) -> Tokens:
        """ids: (B, L) int64; mask: (B, L) True = real, the real ones first. -> Tokens

        pooled is the mean of the real tokens, or the first.
        """
        compiled = torch.compiler.is_compiling()  # then shapes must not depend on what is in the batch
        sequence = self._read(ids, mask) if compiled else self._by_length(ids, mask)
        weight = mask[..., None].to(sequence.dtype)
        sequence = sequence * weight
        pooled = sequence[:, 0] if self.pooling == "first" else sequence.sum(1) / weight.sum(1).clamp(min=1)
        return Tokens(sequence, mask, pooled)

    def _by_length(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Parts of texts alike in length, each read as far as its longest text goes. -> (B, L, D)

        Their number depends on the size of the batch alone: ranks that share a network must call it equally often.
        """
        length = mask.sum(dim=1).clamp(min=1)
        order = length.argsort(stable=True)
        rows = max(FEWEST_ROWS_CPU if ids.device.type == "cpu" else FEWEST_ROWS, math.ceil(len(ids) / PARTS))
        said = []
        for part in order.split(rows):
            longest = int(length[part[-1]])
            read = self._read(ids[part, :longest], mask[part, :longest])
            said.append(F.pad(read, (0, 0, 0, ids.shape[1] - longest)))
        return torch.cat(said).index_select(0, order.argsort())

    def _read(self, ids: Tensor, mask: Tensor) -> Tensor:
        return self.network(input_ids=ids, attention_mask=mask.long()).last_hidden_state
