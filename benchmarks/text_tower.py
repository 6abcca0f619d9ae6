"""Texts a second through the text tower of CLIP's ViT-B/32, ours beside open_clip's and transformers', all with the
same fresh weights, float32.

    pip install --group bench        # open_clip_torch
    python benchmarks/text_tower.py [--count 256] [--batch 64] [--repeats 3] [--threads 1] [--json]

Captions are the bundled names with their keywords in a template; the histogram of their tokens is printed. All get the
same ids. The peers get them as their users give them: open_clip's tokenizer pads every text to 77, and so does
CLIP's convention in transformers (padding="max_length"); padding to the longest of a batch (padding=True) is shown
too. Ours gets its batches sorted by length, as encoding and feature extraction make them. What captions begin with in
common it computes once: the printed count of computed tokens tells how much that is. All take turns batch by batch.
"""

import argparse
import json
import statistics
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from same_weights import CONTEXT, TEMPLATE, VOCABULARY, WIDTH, captioned, clip_ids, cut, open_clip_model, our_model
from timing import spent
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

Encode = Callable[[Tensor], Tensor]


def transformers_model(peer: Any) -> CLIPTextModelWithProjection:
    """transformers' own text tower with open_clip's weights."""
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=512,
        intermediate_size=2048,
        num_hidden_layers=12,
        num_attention_heads=8,
        max_position_embeddings=CONTEXT,
        projection_dim=WIDTH,
        hidden_act="gelu",
        bos_token_id=49406,
        eos_token_id=49407,
        pad_token_id=0,
    )
    model = CLIPTextModelWithProjection(config).eval()
    model.load_state_dict(dict(_renamed(peer.state_dict())))
    return model


def _renamed(state: dict[str, Tensor]):
    """open_clip's names and tensors -> transformers'."""
    outside = {
        "token_embedding.weight": "embeddings.token_embedding.weight",
        "positional_embedding": "embeddings.position_embedding.weight",
        "ln_final.weight": "final_layer_norm.weight",
        "ln_final.bias": "final_layer_norm.bias",
    }
    inside = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}
    yield "text_projection.weight", state["text_projection"].T
    for name, tensor in state.items():
        if name in outside:
            yield f"text_model.{outside[name]}", tensor
        if not name.startswith("transformer.resblocks."):
            continue
        number, _, part = name.removeprefix("transformer.resblocks.").partition(".")
        place = f"text_model.encoder.layers.{number}"
        if part.startswith("attn.in_proj_"):
            for letter, third in zip("qkv", tensor.chunk(3), strict=True):
                yield f"{place}.self_attn.{letter}_proj.{part.removeprefix('attn.in_proj_')}", third
        elif part.startswith("attn."):
            yield f"{place}.self_{part}", tensor
        else:
            module, _, kind = part.rpartition(".")
            yield f"{place}.{inside[module]}.{kind}", tensor


def ways() -> dict[str, Encode]:
    """Name -> from ids (B, 77) to vectors (B, 512)."""
    peer = open_clip_model()
    tower, head = our_model(peer).text_tower, peer.state_dict()["text_projection"]
    hugging = transformers_model(peer)

    def longest(ids: Tensor) -> Tensor:
        short, mask = cut(ids)
        return hugging(input_ids=short, attention_mask=mask.long()).text_embeds

    return {
        "ours": lambda ids: tower(*cut(ids)).pooled @ head,
        "open_clip": peer.encode_text,
        "transformers": lambda ids: hugging(input_ids=ids, attention_mask=(ids != 0).long()).text_embeds,
        "transformers, padding=True": longest,
    }


def computed_tokens(ids: Tensor, batch: int) -> float:
    """Tokens a text that ours computes: those of distinct beginnings, batch by batch of texts alike in length."""
    beginnings = 0
    for part in by_length(ids).split(batch):
        rows = (row[row != 0].tolist() for row in ids[part])
        beginnings += len({tuple(row[: end + 1]) for row in rows for end in range(len(row))})
    return beginnings / len(ids)


def by_length(ids: Tensor) -> Tensor:
    """Numbers of the texts, the shortest first. -> (N,)"""
    return (ids != 0).sum(dim=1).argsort()


@torch.inference_mode()
def measure(count: int, batch: int, repeats: int) -> dict[str, Any]:
    """Texts a second of each, how often ours goes into a peer's time, and the largest difference to ours."""
    ids, encoders = clip_ids(captioned(count)[1]), ways()
    plain, ordered = torch.arange(len(ids)).split(batch), by_length(ids).split(batch)
    turns = [
        {name: partial(encode, ids[our if name == "ours" else their]) for name, encode in encoders.items()}
        for our, their in zip(ordered, plain, strict=True)
    ]
    times = spent([turns[0], *turns * repeats])
    ours = torch.cat([turn["ours"]() for turn in turns])[torch.cat(ordered).argsort()]
    rows = {}
    for name, seconds in times.items():
        vectors = torch.cat([turn[name]() for turn in turns]) if name != "ours" else ours
        rows[name] = {
            "texts_s": repeats * len(ids) / sum(seconds),
            "ratio": sum(seconds) / sum(times["ours"]),
            "difference": (vectors - ours).abs().max().item(),
        }
    lengths = (ids != 0).sum(dim=1).tolist()
    histogram = dict(sorted(Counter(lengths).items()))
    tokens = {"mean": statistics.mean(lengths), "computed": computed_tokens(ids, batch), "histogram": histogram}
    return {"template": TEMPLATE, "texts": len(ids), "batch": batch, "tokens": tokens, "rows": rows}


def main() -> None:
    """Prints the histogram and one line a way, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=256, help="captions")
    parser.add_argument("--batch", type=int, default=64, help="the package's own on a CPU is 64")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = measure(options.count, options.batch, options.repeats)
    if options.json:
        print(json.dumps({"threads": options.threads, **found}, indent=2))
        return
    tokens = found["tokens"]
    print(f"{found['texts']} captions like {TEMPLATE.format('NAME: KEYWORDS')!r}; tokens: how many captions")
    print("  " + "  ".join(f"{length}: {number}" for length, number in tokens["histogram"].items()))
    print(f"  mean {tokens['mean']:.1f}, of which ours computes {tokens['computed']:.1f}; the peers pad to {CONTEXT}")
    for name, row in found["rows"].items():
        line = f"{name:28s} {row['texts_s']:7.1f} texts/s"
        print(line if name == "ours" else f"{line}   ratio {row['ratio']:5.2f}   difference {row['difference']:.1e}")


if __name__ == "__main__":
    main()
