"""amodal recipes: the list, and a copy to edit."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from amodal.recipes import load_recipe, recipe_names


def test_list_says_what_each_needs_and_costs(cli: Callable[..., Any]) -> None:
    answer = cli("recipes")
    assert answer.code == 0, answer.err
    assert {"transfer", "clip-small", "clip-resnet50", "clip-vit-b32", "align"} <= set(recipe_names())
    lines = answer.out.splitlines()
    assert all(name in lines for name in recipe_names())
    assert answer.out.count("  needs: ") == answer.out.count("  cost: ") == len(recipe_names())


def test_json(cli: Callable[..., Any]) -> None:
    said = json.loads(cli("recipes", "--json").out)["recipes"]
    assert [recipe["name"] for recipe in said] == recipe_names()
    assert all(recipe["about"] and recipe["needs"] and recipe["cost"] for recipe in said)


def test_copy_is_a_recipe_to_edit(cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    answer = cli("recipes", "copy", "clip-small")
    assert answer.code == 0, answer.err
    assert "amodal train clip-small.yaml" in answer.err
    assert load_recipe("clip-small.yaml") == load_recipe("clip-small")


def test_copy_refuses_to_overwrite(cli: Callable[..., Any], tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("name: mine\n")
    answer = cli("recipes", "copy", "transfer", "--out", mine)
    assert answer.code == 2
    assert "mine.yaml exists already" in answer.err
    assert mine.read_text() == "name: mine\n"


def test_copy_of_an_unknown_recipe(cli: Callable[..., Any], tmp_path: Path) -> None:
    answer = cli("recipes", "copy", "clip-smal", "--out", tmp_path / "a.yaml")
    assert answer.code == 2
    assert "did you mean clip-small?" in answer.err
    assert not (tmp_path / "a.yaml").exists()
