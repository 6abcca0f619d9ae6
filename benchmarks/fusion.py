"""Fusions beside PyTorch's own layers with the same weights, and what padding does to every fusion.

    python benchmarks/fusion.py [--batch 64] [--places 64] [--words 16] [--width 256] [--depth 2] [--repeats 20]
                                [--threads 1] [--json]

Self-attention over the joined sequence is timed beside torch.nn.TransformerEncoder (pre-norm, no dropout), words that
look at places beside torch.nn.MultiheadAttention without weights; forward and backward, and forward alone, taking
turns. Results are compared first. A third of the words are padding, as in captions. Then for each fusion: parameters,
seconds a batch forward and backward, and the largest change of any output when both inputs are padded to twice their
length.
"""

import argparse
import json
from functools import partial
from typing import Any

import torch
from timing import spent
from torch import Tensor, nn

from amodal.core.batch import Tokens
from amodal.fusion import FUSIONS, Attention, FusionSize, SelfBlock

IMAGE_WIDTH, TEXT_WIDTH, HEADS = 1280, 384, 4


def stack_twin(blocks: nn.ModuleList, width: int) -> nn.TransformerEncoder:
    """torch's own encoder with the weights of our blocks."""
    layer = nn.TransformerEncoderLayer(
        width, HEADS, 4 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
    )
    twin = nn.TransformerEncoder(layer, len(blocks), enable_nested_tensor=False)
    for ours, theirs in zip(blocks, twin.layers, strict=True):
        assert isinstance(ours, SelfBlock)
        assert isinstance(theirs, nn.TransformerEncoderLayer)
        copy_attention(ours.attention, theirs.self_attn)
        pairs = ((theirs.norm1, ours.norm), (theirs.norm2, ours.feed.norm))
        for one, other in (*pairs, (theirs.linear1, ours.feed.up), (theirs.linear2, ours.feed.down)):
            one.load_state_dict(other.state_dict())
    return twin


def copy_attention(ours: Attention, theirs: nn.MultiheadAttention) -> None:
    """Gives torch's attention the weights of ours."""
    with torch.no_grad():
        theirs.in_proj_weight.copy_(torch.cat([ours.query.weight, ours.key_value.weight]))
        theirs.in_proj_bias.copy_(torch.cat([ours.query.bias, ours.key_value.bias]))
    theirs.out_proj.load_state_dict(ours.out.state_dict())


def beside_torch(options: argparse.Namespace) -> dict[str, Any]:
    """How often our time goes into torch's, and the largest difference, for both layers and both ways."""
    image, text = inputs(options)
    mask = torch.cat([image.mask, text.mask], 1)
    x = torch.randn(*mask.shape, options.width)
    words, places = x[:, options.places :], x[:, : options.places]
    blocks = nn.ModuleList(SelfBlock(options.width, HEADS) for _ in range(options.depth))
    attention, multihead = (
        Attention(options.width, HEADS),
        nn.MultiheadAttention(options.width, HEADS, batch_first=True),
    )
    copy_attention(attention, multihead)
    encoder = stack_twin(blocks, options.width)

    def ours(x: Tensor) -> Tensor:
        for block in blocks:
            x = block(x, mask)
        return x

    ways = {
        "self-attention / TransformerEncoder": (
            x, ours, lambda x: encoder(x, src_key_padding_mask=~mask), mask,
        ),
        "words to places / MultiheadAttention": (
            words,
            lambda words: attention(words, places, image.mask),
            lambda words: multihead(words, places, places, key_padding_mask=~image.mask, need_weights=False)[0],
            text.mask,
        ),
    }  # fmt: skip
    found = {}
    for name, (given, our, their, real) in ways.items():
        row: dict[str, float] = {"difference": (our(given) - their(given))[real].abs().max().item()}
        for way, run in (("forward and backward", both_ways), ("forward", alone)):
            times = spent(
                [{"ours": partial(run, our, given), "torch": partial(run, their, given)}] * (options.repeats + 1)
            )
            row[way] = sum(times["torch"]) / sum(times["ours"])
        found[name] = row
    return found


def both_ways(run: Any, x: Tensor) -> None:
    """Forward, and backward to the input."""
    run(x.detach().requires_grad_()).square().sum().backward()


@torch.no_grad()
def alone(run: Any, x: Tensor) -> None:
    """Forward."""
    run(x)


def every_fusion(options: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Parameters, seconds a batch and the largest change by padding, by name."""
    image, text = inputs(options)
    side = int(options.places**0.5)
    size = FusionSize(
        image_width=IMAGE_WIDTH, text_width=TEXT_WIDTH, width=options.width, heads=HEADS, depth=options.depth,
        grid=(side, options.places // side),
    )  # fmt: skip
    found = {}
    for name, build in FUSIONS.items():
        torch.manual_seed(0)
        fusion = build(size)

        def step(fusion: nn.Module = fusion) -> None:
            fusion(image, text).pooled.square().sum().backward()

        seconds = spent([{"": step}] * (options.repeats + 1))[""]
        with torch.no_grad():
            plain, padded = fusion(image, text), fusion(twice(image), twice(text))
        change = (padded.sequence[padded.mask] - plain.sequence[plain.mask]).abs().max()
        found[name] = {
            "parameters": sum(p.numel() for p in fusion.parameters()),
            "seconds": sum(seconds) / len(seconds),
            "padding": max(change.item(), (padded.pooled - plain.pooled).abs().max().item()),
        }
    return found


def inputs(options: argparse.Namespace) -> tuple[Tokens, Tokens]:
    """A batch of full pictures, and of captions a third of which is padding."""
    torch.manual_seed(0)
    places = torch.ones(options.batch, options.places, dtype=torch.bool)
    length = torch.randint(options.words // 3, options.words + 1, (options.batch, 1))
    length[0] = options.words
    words = torch.arange(options.words) < length
    image = Tokens(torch.randn(options.batch, options.places, IMAGE_WIDTH), places, torch.zeros(options.batch, 1))
    return image, Tokens(torch.randn(options.batch, options.words, TEXT_WIDTH), words, torch.zeros(options.batch, 1))


def twice(tokens: Tokens) -> Tokens:
    """As many padded tokens behind, full of something."""
    mask = torch.cat([tokens.mask, torch.zeros_like(tokens.mask)], 1)
    return Tokens(torch.cat([tokens.sequence, 30 * torch.randn_like(tokens.sequence)], 1), mask, tokens.pooled)


def main() -> None:
    """Prints the two tables, or one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("batch", 64), ("places", 64), ("words", 16), ("width", 256), ("depth", 2), ("repeats", 20)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = {"torch": beside_torch(options), "fusions": every_fusion(options)}
    if options.json:
        print(json.dumps({**vars(options), **found}, indent=2))
        return
    for name, row in found["torch"].items():
        both, forward, difference = row["forward and backward"], row["forward"], row["difference"]
        print(f"{name:38s} ratio {both:5.2f}   forward alone {forward:5.2f}   difference {difference:.1e}")
    for name, row in found["fusions"].items():
        item = 1000 * row["seconds"] / options.batch
        told = f"{row['parameters']:10,.0f} parameters {item:7.2f} ms an item   padding changes {row['padding']:.1e}"
        print(f"{name:22s} {told}")


if __name__ == "__main__":
    main()
