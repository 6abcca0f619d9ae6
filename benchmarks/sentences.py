"""Texts a second from words to unit vectors through the packaged sentence encoder (MiniLM), ours beside
sentence-transformers with the same weights, as a ratio.

    pip install --group bench        # sentence-transformers
    python benchmarks/sentences.py [--count 1000] [--repeats 3] [--threads 1] [--json]

Texts are captions of the bundled pictures in all their phrasings. Both sort them by length and give the order back.
"""

import argparse
import json
import random
import statistics
from functools import partial
from typing import Any

import numpy as np
import torch
from same_weights import peer_module
from timing import spent

from amodal.data.emoji import bundled_table
from amodal.data.tokenizers import load_tokenizer
from amodal.features import Encoder
from amodal.models import DualEncoder
from amodal.towers import HuggingFaceTextTower, packaged_text_folder

CONTEXT = 128


class UnitLength(torch.nn.Module):
    """A head that learns nothing."""

    def forward(self, pooled: torch.Tensor) -> torch.Tensor:
        """(B, D) -> (B, D) of unit length."""
        return torch.nn.functional.normalize(pooled, dim=-1)


def our_encoder() -> Encoder:
    """The tower alone, without a cache."""
    folder = packaged_text_folder()
    model = DualEncoder(torch.nn.Identity(), HuggingFaceTextTower(str(folder)), torch.nn.Identity(), UnitLength())
    return Encoder(model.eval(), load_tokenizer(folder, context_length=CONTEXT), None, torch.device("cpu"))


def peer_encoder() -> Any:
    """sentence-transformers with the same folder and mean pooling."""
    modules = peer_module("sentence_transformers.models")
    words = modules.Transformer(str(packaged_text_folder()), max_seq_length=CONTEXT)
    pooling = modules.Pooling(words.auto_model.config.hidden_size, "mean")
    return peer_module("sentence_transformers").SentenceTransformer(modules=[words, pooling], device="cpu")


def measure(count: int, repeats: int) -> dict[str, float]:
    """Texts a second of each, the ratio and the largest difference."""
    captions = sorted({text for row in bundled_table().rows for text in row.captions})
    texts = random.Random(0).sample(captions, count)
    peer = peer_encoder()
    ways = {"ours": our_encoder().texts, "peer": partial(peer.encode, normalize_embeddings=True)}
    difference = float(np.abs(ways["ours"](texts) - ways["peer"](texts)).max())
    times = spent({name: partial(way, texts) for name, way in ways.items()} for _ in range(repeats + 1))
    rates = {f"{name}_texts_s": count / statistics.median(seconds) for name, seconds in times.items()}
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["peer"], strict=True))
    return {**rates, "ratio": ratio, "difference": difference}


def main() -> None:
    """Prints one line, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = measure(options.count, options.repeats)
    if options.json:
        print(json.dumps({"count": options.count, "threads": options.threads, **found}, indent=2))
        return
    print(
        f"{options.count} texts   ours {found['ours_texts_s']:.0f} texts/s   sentence-transformers "
        f"{found['peer_texts_s']:.0f} texts/s   ratio {found['ratio']:.2f}   difference {found['difference']:.1e}"
    )


if __name__ == "__main__":
    main()
