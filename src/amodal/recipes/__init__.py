"""Whole runs said in one YAML file: the schema, the building of parts from names, the loader of runs, run(recipe)."""

from amodal.recipes.again import evaluate_run
from amodal.recipes.catalogue import load_recipe, read_recipe, recipe_names, recipe_path, write_recipe
from amodal.recipes.judge import Verdict, judge
from amodal.recipes.load import Loaded, load_run, load_scene_run
from amodal.recipes.pairs import judged_pairs
from amodal.recipes.run import Finished, resume, run_recipe
from amodal.recipes.schema import Recipe, parse_recipe

__all__ = [
    "Finished",
    "Loaded",
    "Recipe",
    "Verdict",
    "evaluate_run",
    "judge",
    "judged_pairs",
    "load_recipe",
    "load_run",
    "load_scene_run",
    "parse_recipe",
    "read_recipe",
    "recipe_names",
    "recipe_path",
    "resume",
    "run_recipe",
    "write_recipe",
]
