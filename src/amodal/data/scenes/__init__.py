"""Scenes whose truth is known: bundled pictures composed on a canvas, with everything that can be said of them.

After CLEVR (Johnson et al. 2017): a generator that knows what it drew can ask what a collection of photographs cannot,
and a model's failings show one at a time. Nothing is random but by (seed, split, number).
"""

from amodal.data.annotations import Link
from amodal.data.scenes.concepts import HELD_OUT_SHARE, Pool, load_pool
from amodal.data.scenes.export import run_lengths, scene_record, write_scenes
from amodal.data.scenes.lessons import (
    Trial,
    answer_list,
    pointed_answer,
    scene_centres,
    scene_covers,
    trials,
    word_links,
)
from amodal.data.scenes.questions import CHANCE, QUESTION_KINDS
from amodal.data.scenes.scene import Caption, Falsehood, Question, Scene
from amodal.data.scenes.sprites import COLOURS
from amodal.data.scenes.statements import CHANGES, Statement
from amodal.data.scenes.stream import SPLITS, Scenes
from amodal.data.scenes.truth import RELATIONS, Thing

__all__ = [
    "CHANCE",
    "CHANGES",
    "COLOURS",
    "HELD_OUT_SHARE",
    "QUESTION_KINDS",
    "RELATIONS",
    "SPLITS",
    "Caption",
    "Falsehood",
    "Link",
    "Pool",
    "Question",
    "Scene",
    "Scenes",
    "Statement",
    "Thing",
    "Trial",
    "answer_list",
    "load_pool",
    "pointed_answer",
    "run_lengths",
    "scene_centres",
    "scene_covers",
    "scene_record",
    "trials",
    "word_links",
    "write_scenes",
]
