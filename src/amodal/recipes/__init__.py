"""Whole runs said in one YAML file: the schema, the building of parts from names, the loader of runs, run(recipe)."""

from amodal.recipes.again import evaluate_run
from amodal.recipes.calibrate import (
    Calibrated,
    calibrate,
    calibrate_run,
    encoded_pairs,
    read_calibration,
    trials_of,
)
from amodal.recipes.catalogue import load_recipe, read_recipe, recipe_names, recipe_path, write_recipe
from amodal.recipes.finish import Finished
from amodal.recipes.foreign import is_foreign, load_any_model
from amodal.recipes.judge import Verdict, judge
from amodal.recipes.load import Loaded, load_run
from amodal.recipes.pairs import judged_pairs
from amodal.recipes.run import resume, run_recipe
from amodal.recipes.scene_data import SceneSource
from amodal.recipes.scene_run import load_fused
from amodal.recipes.scene_schema import SceneRecipe
from amodal.recipes.schema import Recipe, parse_recipe

__all__ = [
    "Calibrated",
    "Finished",
    "Loaded",
    "Recipe",
    "SceneRecipe",
    "SceneSource",
    "Verdict",
    "calibrate",
    "calibrate_run",
    "encoded_pairs",
    "evaluate_run",
    "is_foreign",
    "judge",
    "judged_pairs",
    "load_any_model",
    "load_fused",
    "load_recipe",
    "load_run",
    "parse_recipe",
    "read_calibration",
    "read_recipe",
    "recipe_names",
    "recipe_path",
    "resume",
    "run_recipe",
    "trials_of",
    "write_recipe",
]
