"""Prompt tuning from the command line: judged when asked for, and beside the ladder otherwise."""

import json

from fewtune.study.ladder import default_rungs

FEW_STEPS = [
    "--set",
    "prompt_tuning.least_steps=3",
    "--set",
    "prompt_tuning.epochs=0.1",
    "--set",
    "prompt_tuning.tokens=2",
]


def test_it_is_judged_when_asked_for(fewtune, toys_csv, quick, tmp_path):
    asked = ["--method", "prompt_tuning", "--executor", "stacked"]
    answer = fewtune("fit", toys_csv, *quick, *asked, *FEW_STEPS, "--json", "--out", tmp_path / "fit")
    assert answer.code == 0, answer.err
    rungs = {rung["name"]: rung for rung in json.loads(answer.out)["ladder"]}
    assert {"probe", "prompt_tuning"} <= set(rungs)
    assert rungs["prompt_tuning"]["recipe"]["settings"]["tokens"] == 2


def test_a_prompt_that_leaves_no_room_is_refused_in_words(fewtune, toys_csv, quick, tmp_path):
    asked = ["--method", "prompt_tuning", "--set", "prompt_tuning.tokens=4000"]
    answer = fewtune("fit", toys_csv, *quick, *asked, "--out", tmp_path / "fit")
    assert answer.code != 0
    assert "leave no room for a text" in answer.err
    assert "Traceback" not in answer.err


def test_it_is_not_on_the_ladder():
    methods = [recipe.method.name for recipe in default_rungs(["default"], unlabelled=True)]
    assert "lora" in methods
    assert "prompt_tuning" not in methods
    asked = default_rungs(["default"], unlabelled=True, asked=["prompt_tuning"])
    assert "prompt_tuning" in [recipe.method.name for recipe in asked]
