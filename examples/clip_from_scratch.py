"""CLIP from scratch (Radford et al. 2021): the whole idea in one file, on the emoji that come with the package.

Two networks, one for pictures and one for words, learn to put what belongs together at the same place in one space.
After that "what is this?" means "whose name is nearest?", also for things that neither network has met in training.

    python examples/clip_from_scratch.py                # two minutes on two CPU cores
    python examples/clip_from_scratch.py --steps 2000   # longer

The first line names 7 % of the pictures of unseen emoji right among 366 names, where guessing names 0.3 %, and has the
right caption among its first five for 20 % of them (1.4 %).

B batch · C channels · H W pixels · L words · D width · N items · Q queries · K candidates
"""

import argparse
import math
import random
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from amodal.data.sources import open_table

WIDTH = 128  # of the space that both networks share
LONGEST = 16  # words of a text that are read
PAD, UNKNOWN = 0, 1


# ---------------------------------------------------------------- data: pictures, captions, and which belong together


class Pairs(NamedTuple):
    """Pictures with captions; `concept` says what a picture shows (each emoji is drawn by two designers)."""

    image_NCHW: Tensor
    captions: list[tuple[str, ...]]
    concept: list[str]


def load(split: str, size: int, limit: int | None = None) -> Pairs:
    """One side of the fixed split. No concept is on two sides, so the test side holds only things never seen."""
    rows = open_table("bundled").split(split).rows
    kept = set(list(dict.fromkeys(row.pair for row in rows))[:limit])
    rows = [row for row in rows if row.pair in kept]
    images = [row.picture.image().convert("RGB").resize((size, size)) for row in rows]
    pixels = torch.stack([torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8) for image in images])
    image_NCHW = pixels.view(-1, size, size, 3).permute(0, 3, 1, 2) / 127.5 - 2  # white, their background, becomes 0
    return Pairs(image_NCHW.contiguous(), [row.captions for row in rows], [row.pair for row in rows])


def augment(image_BCHW: Tensor) -> Tensor:
    """Turned, scaled and shifted a little, each picture in its own way. What moves in from outside is 0: white.

    Not mirrored: a left arrow is no right arrow.
    """
    count = len(image_BCHW)
    angle, scale = torch.empty(count).uniform_(-0.25, 0.25), torch.empty(count).uniform_(0.85, 1.25)
    shift_B2 = torch.empty(count, 2).uniform_(-0.15, 0.15)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(count, 2, 2)
    affine_B23 = torch.cat([turn * scale[:, None, None], shift_B2[:, :, None]], dim=2)
    grid = F.affine_grid(affine_B23, list(image_BCHW.shape), align_corners=False)
    return F.grid_sample(image_BCHW, grid, align_corners=False)


class Words:
    """Texts to numbers. A word of one concept alone is unknown: it would be learnt by heart and never met again."""

    def __init__(self, captions: Collection[tuple[str, ...]]) -> None:
        used_by = Counter(word for texts in captions for word in set(self.split(" ".join(texts))))
        known = sorted(word for word, count in used_by.items() if count > 1)
        self.number = {word: number for number, word in enumerate(known, start=UNKNOWN + 1)}

    @staticmethod
    def split(text: str) -> list[str]:
        """-> lower-case words, without punctuation"""
        return re.findall(r"\w+", text.lower())

    def __len__(self) -> int:
        return len(self.number) + UNKNOWN + 1

    def __call__(self, texts: Sequence[str]) -> Tensor:
        """-> (B, L) int64, shorter texts filled up with PAD"""
        rows = [[self.number.get(w, UNKNOWN) for w in self.split(text)[:LONGEST]] or [UNKNOWN] for text in texts]
        return nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True, padding_value=PAD)


# ---------------------------------------------------------------- two encoders


class ResidualBlock(nn.Module):
    """Two convolutions and a way around them (He et al. 2016). (B, C, H, W) -> (B, C', H', W')

    Where the channels grow, height and width are halved.
    """

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        stride = 1 if channels == out else 2
        self.conv1 = nn.Conv2d(channels, out, 3, stride, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.norm1, self.norm2 = nn.BatchNorm2d(out), nn.BatchNorm2d(out)
        self.around = nn.Identity() if stride == 1 else nn.Conv2d(channels, out, 1, stride, bias=False)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The input, and what the convolutions add to it."""
        added = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x_BCHW)))))
        return F.relu(self.around(x_BCHW) + added)


class ImageEncoder(nn.Module):
    """ResNet-10: a stem, four blocks, the mean over all places. (B, 3, H, W) -> (B, D)"""

    def __init__(self, width: int = WIDTH, channels: Sequence[int] = (32, 32, 64, 128, 256)) -> None:
        super().__init__()
        first, last = channels[0], channels[-1]
        self.stem = nn.Sequential(nn.Conv2d(3, first, 3, 2, padding=1, bias=False), nn.BatchNorm2d(first), nn.ReLU())
        self.blocks = nn.Sequential(*(ResidualBlock(before, after) for before, after in pairwise(channels)))
        self.project = nn.Linear(last, width, bias=False)

    def forward(self, image_BCHW: Tensor) -> Tensor:
        """One vector a picture, of any length."""
        return self.project(self.blocks(self.stem(image_BCHW)).mean(dim=(2, 3)))


class TransformerBlock(nn.Module):
    """Each word looks at all words, then thinks for itself (Vaswani et al. 2017). (B, L, D) -> (B, L, D)"""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.query_key_value, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x_BLD: Tensor, real_BL: Tensor) -> Tensor:
        """real_BL: False where a word is padding, which nobody looks at."""
        q, k, v = (
            part.unflatten(2, (self.heads, -1)).transpose(1, 2)  # (B, heads, L, D / heads)
            for part in self.query_key_value(self.norm1(x_BLD)).chunk(3, dim=2)
        )
        score_BhLL = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1])
        score_BhLL = score_BhLL.masked_fill(~real_BL[:, None, None, :], -math.inf)
        seen_BLD = (score_BhLL.softmax(dim=3) @ v).transpose(1, 2).flatten(2)
        x_BLD = x_BLD + self.out(seen_BLD)
        return x_BLD + self.think(self.norm2(x_BLD))


class TextEncoder(nn.Module):
    """Words and their places, two Transformer blocks, the mean over the real words. (B, L) -> (B, D)"""

    def __init__(self, vocabulary: int, width: int = WIDTH, blocks: int = 2) -> None:
        super().__init__()
        self.word = nn.Embedding(vocabulary, width)
        self.place = nn.Parameter(torch.randn(LONGEST, width) * 0.02)
        self.blocks = nn.ModuleList(TransformerBlock(width, heads=4) for _ in range(blocks))
        self.project = nn.Linear(width, width, bias=False)

    def forward(self, ids_BL: Tensor) -> Tensor:
        """One vector a text, of any length."""
        real_BL = ids_BL != PAD
        x_BLD = self.word(ids_BL) + self.place[: ids_BL.shape[1]]
        for block in self.blocks:
            x_BLD = block(x_BLD, real_BL)
        mean_BD = (x_BLD * real_BL[:, :, None]).sum(dim=1) / real_BL.sum(dim=1, keepdim=True)
        return self.project(mean_BD)


class Clip(nn.Module):
    """Both encoders and the temperature, which is learnt too: as its inverse's logarithm, so that it stays positive."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.image, self.text = ImageEncoder(), TextEncoder(vocabulary)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def forward(self, image_BCHW: Tensor, ids_BL: Tensor) -> tuple[Tensor, Tensor]:
        """-> (B, D), (B, D) of unit length: only the direction counts, and a dot product is a cosine"""
        return F.normalize(self.image(image_BCHW), dim=1), F.normalize(self.text(ids_BL), dim=1)


# ---------------------------------------------------------------- the loss, and training


def info_nce(image_BD: Tensor, text_BD: Tensor, logit_scale: Tensor) -> Tensor:
    """Whose caption is this, among all of the batch? And whose picture? Guessing costs ln(B). -> scalar

    The rightful partners stand on the diagonal; all others are negatives that cost nothing to get
    (van den Oord et al. 2018). The temperature says how much a little more similarity is worth.
    """
    score_BB = logit_scale.exp() * image_BD @ text_BD.T
    caption_of_image_B = score_BB.log_softmax(dim=1).diagonal()
    image_of_caption_B = score_BB.log_softmax(dim=0).diagonal()
    return -(caption_of_image_B.mean() + image_of_caption_B.mean()) / 2


def batches(pairs: Pairs, size: int) -> Iterator[tuple[Tensor, list[str]]]:
    """Endless. A concept is at most once in a batch: otherwise a right answer would be punished as a wrong one."""
    pictures_of: dict[str, list[int]] = {}
    for picture, concept in enumerate(pairs.concept):
        pictures_of.setdefault(concept, []).append(picture)
    concepts = list(pictures_of)
    size = min(size, len(concepts))
    while True:
        random.shuffle(concepts)
        for start in range(0, len(concepts) - size + 1, size):
            rows = [random.choice(pictures_of[concept]) for concept in concepts[start : start + size]]
            yield pairs.image_NCHW[rows], [random.choice(pairs.captions[row]) for row in rows]


def train(model: Clip, words: Words, pairs: Pairs, steps: int, batch: int) -> list[float]:
    """AdamW; the rate climbs for a tenth of the steps, then falls along a cosine. -> the loss of every step"""
    warm_up = max(1, steps // 10)

    def rate(step: int) -> float:
        return min((step + 1) / warm_up, (1 + math.cos(math.pi * step / steps)) / 2)

    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses: list[float] = []
    for step, (image_BCHW, captions) in zip(range(steps), batches(pairs, batch), strict=False):
        image_BD, text_BD = model(augment(image_BCHW), words(captions))
        loss = info_nce(image_BD, text_BD, model.logit_scale)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))  # beyond that a few hard pairs would be all that counts
        losses.append(loss.item())
        if step % max(1, steps // 10) == 0 or step == steps - 1:
            print(f"step {step:5}   loss {losses[-1]:.3f}   guessing {math.log(len(captions)):.3f}", flush=True)
    return losses


# ---------------------------------------------------------------- what was learnt


def recall(query_QD: Tensor, item_KD: Tensor, right_QK: Tensor, k: int) -> tuple[float, float]:
    """The share of queries with a right item among their k nearest, and the share that a guess would have."""
    nearest_Qk = (query_QD @ item_KD.T).topk(min(k, len(item_KD)), dim=1).indices
    found = right_QK.gather(1, nearest_Qk).any(dim=1).float().mean().item()
    rights, items = right_QK.sum(dim=1).float(), len(item_KD)
    missed_Q = torch.ones(len(query_QD))
    for taken in range(min(k, items)):  # guesses without going back to what was taken
        missed_Q = missed_Q * (1 - rights / (items - taken)).clamp(min=0)
    return found, (1 - missed_Q).mean().item()


@torch.no_grad()
def evaluate(model: Clip, words: Words, pairs: Pairs) -> dict[str, tuple[float, float]]:
    """name -> (share found, chance), on pictures of concepts that training has not seen"""
    model.eval()
    concepts = list(dict.fromkeys(pairs.concept))
    first = [pairs.captions[pairs.concept.index(concept)] for concept in concepts]  # a caption list a concept
    image_ND = F.normalize(torch.cat([model.image(part) for part in pairs.image_NCHW.split(256)]), dim=1)
    caption_KD, name_KD = (F.normalize(model.text(words([texts[i] for texts in first])), dim=1) for i in (0, 1))
    right_NK = torch.tensor([[here == concept for concept in concepts] for here in pairs.concept])
    figures = {f"zero-shot: its name among {len(concepts)}": recall(image_ND, name_KD, right_NK, 1)}
    for k in (1, 5):
        figures[f"picture to caption R@{k}"] = recall(image_ND, caption_KD, right_NK, k)
        figures[f"caption to picture R@{k}"] = recall(caption_KD, image_ND, right_NK.T, k)
    return figures


def main(arguments: Sequence[str] | None = None) -> tuple[list[float], dict[str, tuple[float, float]]]:
    """Loads, trains, evaluates, prints. -> the losses, and the figures of `evaluate`"""
    parser = argparse.ArgumentParser(description="Trains CLIP from scratch on the bundled emoji.")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--size", type=int, default=32, help="height and width of the pictures")
    parser.add_argument("--batch", type=int, default=128, help="more negatives, a harder and more telling question")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=int, help="train on so many concepts only")
    options = parser.parse_args(arguments)
    random.seed(options.seed)
    torch.manual_seed(options.seed)

    known, unseen = load("train", options.size, options.limit), load("test", options.size)
    words = Words(set(known.captions))  # both drawings of an emoji have the same captions
    model = Clip(len(words))
    print(f"{len(known.concept)} pictures of {len(set(known.concept))} concepts, {len(words)} words", flush=True)
    losses = train(model, words, known, options.steps, options.batch)

    figures = evaluate(model, words, unseen)
    print(f"\n{f'{len(unseen.concept)} pictures of unseen concepts':40}   found   chance")
    for name, (found, chance) in figures.items():
        print(f"{name:40} {found:7.1%}  {chance:7.1%}")
    return losses, figures


if __name__ == "__main__":
    main()
