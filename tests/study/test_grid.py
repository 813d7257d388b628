"""A grid: what is tried, what is said of each, what choosing is worth, nothing computed twice."""

import dataclasses
import json

import numpy as np
import pytest

from fewtune.errors import UsageError
from fewtune.methods.lora import LoRA
from fewtune.methods.probe import Probe
from fewtune.searching import study_grid
from fewtune.study import grid
from fewtune.study.settings import Settings
from fewtune.study.store import read_lines
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(12)


def test_values_are_read_as_the_setting_is():
    found = grid.parse("lora", ["rate=1e-3,3e-3", "rank=4,8", "class_weights=yes,no", "dropout=none,0.1"])
    assert found == {"rate": (1e-3, 3e-3), "rank": (4, 8), "class_weights": (True, False), "dropout": (None, 0.1)}
    assert grid.parse("lora", ["targets=query:value,all"]) == {"targets": (("query", "value"), ())}
    assert grid.parse("probe", ["strengths=1:10,0.5", "class_names=1"]) == {
        "strengths": ((1.0, 10.0), (0.5,)),
        "class_names": (True,),
    }
    assert grid.parse("lora", ["rank=4,4,8"]) == {"rank": (4, 8)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("rate", "Write it like"),
        ("rate=", "Write it like"),
        ("=1", "Write it like"),
        ("ratte=1", "It has"),
        ("rank=four", "no whole number"),
        ("rank=1.5", "no whole number"),
        ("rank=4,,8", "no whole number"),
        ("rank=0", "1 or more"),
        ("rate=-1", "0 or more"),
        ("rate=nan", "no number"),
        ("rate=inf", "no number"),
        ("lora_dropout=1", "below 1"),
        ("class_weights=maybe", "yes or no"),
    ],
)
def test_what_cannot_be_meant_is_said(given, said):
    with pytest.raises(UsageError, match=said):
        grid.parse("lora", [given])


def test_a_setting_twice_and_a_method_nobody_has():
    with pytest.raises(UsageError, match="given twice"):
        grid.parse("lora", ["rank=4", "rank=8"])
    with pytest.raises(UsageError, match="no method"):
        grid.parse("lara", ["rank=4"])
    with pytest.raises(UsageError, match="It has none"):
        grid.parse("majority", ["rank=4"])


def test_every_value_is_shown_as_it_is_read():
    for text in ("rate=0.001", "rank=8", "class_weights=yes", "dropout=none", "targets=query:value", "targets=all"):
        name, _, value = text.partition("=")
        assert grid.shown(grid.parse("lora", [text])[name][0]) == value


def test_every_combination_once_and_the_default_first():
    tried = grid.candidates(LoRA(), {"rank": (4, 8), "rate": (1e-3, 3e-3)}, backbone="default")
    assert [settings for settings, _ in tried] == [
        {"rank": 8, "rate": 1e-3},
        {"rank": 4, "rate": 1e-3},
        {"rank": 4, "rate": 3e-3},
        {"rank": 8, "rate": 3e-3},
    ]
    assert tried[0][1].method == LoRA()
    assert tried[2][1].method == dataclasses.replace(LoRA(), rank=4, rate=3e-3)
    for choices in ({}, {"rank": range(1, 40), "alpha": range(1, 40)}):
        with pytest.raises(UsageError, match="--set"):
            grid.candidates(LoRA(), choices, backbone="default")


CHOICES = {"default_strength": (1e-4, 1.0), "strengths": ((1e-4,), (1.0, 10.0))}


@pytest.fixture(scope="module")
def settings(tiny_folders):
    return Settings((str(tiny_folders("bert")),), folds=4, repeats=2)


@pytest.fixture(scope="module")
def found(settings):
    return study_grid(TOYS, "probe", CHOICES, settings)


def test_what_a_grid_says(found):
    assert len(found["candidates"]) == 5
    default, *others = found["candidates"]
    assert default["settings"] == {"default_strength": Probe().default_strength, "strengths": list(Probe().strengths)}
    assert default["against_default"] is None
    assert default["splits"] == 8, "what the others are held against is never dropped"
    assert found["level"] == 1 - 0.05 / 4
    for one in others:
        assert one["against_default"]["level"] == found["level"]
        assert (one["dropped"] is None) == (one["splits"] == 8)
    means = [one["accuracy"]["mean"] for one in found["candidates"] if one["splits"] == 8]
    assert found["candidates"][found["best"]]["accuracy"]["mean"] == max(means)
    assert found["runs"] == sum(one["splits"] for one in found["candidates"])
    assert found["runs_of_all"] == 40
    json.dumps(found, allow_nan=False)


def test_the_best_is_said_to_be_too_good(found):
    choosing = found["choosing"]
    assert choosing["accuracy"]["mean"] <= choosing["naive"] + 1e-9
    assert choosing["naive"] == pytest.approx(found["candidates"][found["best"]]["accuracy"]["mean"])
    assert choosing["optimism"] == pytest.approx(choosing["naive"] - choosing["accuracy"]["mean"])
    assert sum(choosing["frequency"]) == pytest.approx(1)
    assert "too good" in choosing["sentence"]
    assert f"{100 * choosing['accuracy']['mean']:.1f} %" in choosing["sentence"]


def test_the_default_is_kept_unless_something_is_better(found):
    verdicts = [one["against_default"]["verdict"] for one in found["candidates"][1:]]
    if "better" not in verdicts:
        assert found["take"] == 0
        assert "default" in found["sentence"]
    else:
        assert found["take"] == found["best"]


def test_where_nothing_can_be_learned_no_setting_is_better(settings):
    """Shuffled labels, ten settings: the best of them looks better than chance, and is not believed."""
    shuffled = toy_dataset(14, shuffled=True)
    choices = {"strengths": tuple((10.0**power,) for power in range(-5, 5))}
    found = study_grid(shuffled, "probe", choices, settings)
    assert found["take"] == 0
    assert found["choosing"]["optimism"] > 0
    low, high = (found["choosing"]["accuracy"][end] for end in ("low", "high"))
    assert low < 1 / 3 < high


def test_a_setting_that_wrecks_the_method_is_dropped_and_runs_are_saved(settings):
    choices = {"rate": (1e-3, 30.0), "most_steps": (12,), "least_steps": (12,)}
    big, four = toy_dataset(24), dataclasses.replace(settings, repeats=1)
    found = study_grid(big, "top_layers", choices, four)
    wrecked = next(one for one in found["candidates"] if one["settings"]["rate"] == 30.0)
    assert wrecked["dropped"]["after"] < 4
    assert "points behind the best" in wrecked["dropped"]["sentence"]
    assert wrecked["against_default"]["difference"] < -0.1
    assert found["runs"] < found["runs_of_all"]
    whole = study_grid(big, "top_layers", choices, four, halving=False)
    assert whole["runs"] == whole["runs_of_all"]
    assert [one["dropped"] for one in whole["candidates"]] == [None] * 3
    assert whole["take"] == found["take"], "halving does not change what is taken"


def test_the_same_again_computes_nothing(settings, tmp_path):
    kept = dataclasses.replace(settings, out=tmp_path / "grid")
    first = study_grid(TOYS, "probe", CHOICES, kept)
    lines = (tmp_path / "grid" / "runs.jsonl").read_bytes()
    again = study_grid(TOYS, "probe", CHOICES, kept)
    assert (tmp_path / "grid" / "runs.jsonl").read_bytes() == lines
    assert again == first == json.loads((tmp_path / "grid" / "grid.json").read_text())
    wider = study_grid(TOYS, "probe", CHOICES | {"class_names": (True, False)}, kept)
    keys = [line["key"] for line in read_lines(tmp_path / "grid" / "runs.jsonl")]
    assert len(keys) == len(set(keys)) <= first["runs"] + wider["runs"] - 8


def test_the_executor_changes_nothing(settings, found):
    serial = study_grid(TOYS, "probe", CHOICES, dataclasses.replace(settings, executor="serial"))
    for ours, theirs in zip(found["candidates"], serial["candidates"], strict=True):
        assert ours["accuracy"] == theirs["accuracy"]
        assert ours["dropped"] == theirs["dropped"]


def test_settings_that_cannot_be_meant(settings):
    for change, said in (({"margin": -1}, "margin"), ({"risk": 0}, "risk"), ({"risk": 1.5}, "risk")):
        with pytest.raises(UsageError, match=said):
            study_grid(TOYS, "probe", CHOICES, settings, **change)
    with pytest.raises(UsageError, match="--unlabelled"):
        study_grid(TOYS, "self_training", {"rounds": (1, 2)}, settings)
    with pytest.raises(UsageError, match="larger --budget"):
        study_grid(TOYS, "probe", CHOICES, dataclasses.replace(settings, budget=1e-6))


def test_scores_of_groups_are_drawn_together(settings):
    """Copies of rows are one row to the bootstrap: with them the interval of the choice is no narrower."""
    doubled = dataclasses.replace(TOYS, examples=TOYS.examples * 2)
    once, twice = (study_grid(data, "probe", {"strengths": ((1.0,),)}, settings) for data in (TOYS, doubled))
    widths = [np.ptp([one["choosing"]["accuracy"][end] for end in ("low", "high")]) for one in (once, twice)]
    assert widths[1] > 0.7 * widths[0]
