"""Preference tuning is kept only where choosing and tuning together are better than the first stage."""

import numpy as np

from fewtune.methods.base import Written
from fewtune.methods.preference.dpo import DPO
from fewtune.methods.preference.first_stage import FirstStage
from fewtune.metrics.base import OutOfFold
from fewtune.recipe import Recipe
from fewtune.report.preferred import costs_against, preference_scores, wanted_only
from fewtune.study.choice import Candidate, choose
from fewtune.study.evaluator import Judged
from fewtune.study.keeping import against_first, first_place, kept
from fewtune.study.ladder import Climb
from fewtune.study.rung import Rung

ROWS, SPLITS = 80, 5
HELD_OUT = tuple(np.arange(split, ROWS, SPLITS) for split in range(SPLITS))


def costs(nll):
    return Written(np.asarray(nll, dtype=np.float64), np.full(len(nll), 4), np.full(len(nll), 12))


def found(share, seed, *, chosen=8.0):
    """Held-out pairs of which about `share` have the chosen answer as the likelier one."""
    rng = np.random.default_rng(seed)
    right = [rng.random(len(rows)) < share for rows in HELD_OUT]
    written = tuple(costs(np.full(len(rows), chosen)) for rows in HELD_OUT)
    rejected = tuple(costs(np.where(won, chosen + 1.0, chosen - 1.0)) for won in right)
    empty = tuple(np.zeros((len(rows), 0)) for rows in HELD_OUT)
    return OutOfFold(np.zeros(ROWS, dtype=np.int64), HELD_OUT, empty, None, written, rejected)


def climbed(first, tuned):
    rungs = tuple(
        Rung(Recipe(method), Judged(Recipe(method), (), oof)) for method, oof in ((FirstStage(), first), (DPO(), tuned))
    )
    return Climb(rungs, (0, 1), 1, (), tuned, (1,) * SPLITS)


def test_what_is_better_is_kept():
    climb = climbed(found(0.5, 0), found(0.9, 1))
    assert against_first(climb, climb.headline).verdict == "better"
    assert kept(climb) is climb


def test_what_cannot_be_told_apart_or_is_worse_is_not():
    for share in (0.5, 0.1):
        climb = kept(climbed(found(0.5, 0), found(share, 1)))
        assert climb.winner == first_place(climb) == 0
        assert climb.headline is not None


def test_the_first_stage_is_no_candidate_of_the_choice_where_anything_was_tuned():
    candidates = [Candidate("first_stage", found(0.95, 0)), Candidate("dpo", found(0.6, 1))]
    assert choose(candidates, 80.0)[0] == 1
    assert choose(candidates, 80.0, HELD_OUT[0])[0] == 1
    assert choose(candidates[:1], 80.0)[0] == 0


def test_of_methods_that_are_alike_the_simpler_is_chosen():
    same = found(0.8, 3)
    candidates = [Candidate(name, same) for name in ("first_stage", "dpo", "orpo", "kto")]
    assert choose(candidates, 80.0)[0] == 1


def test_scores_are_against_the_first_stage():
    first, tuned = found(0.5, 0, chosen=8.0), found(0.9, 1, chosen=10.0)
    scores = preference_scores(tuned, first)
    assert scores["accuracy"]["low"] < scores["accuracy"]["mean"] < scores["accuracy"]["high"]
    assert {"reward_accuracy", "margin"} <= set(scores)
    margin = preference_scores(first, tuned)["margin"]
    assert margin["low"] < margin["mean"] < margin["high"] < 0
    assert "margin" not in preference_scores(first, first)
    dearer = costs_against(tuned, first)
    assert dearer.verdict == "worse"
    assert dearer.difference < 0
    assert abs(scores["bits_per_byte"]["mean"] - 10.0 / 12 / np.log(2)) < 1e-9


def test_of_single_answers_only_the_wanted_ones_are_costs():
    wanted = np.arange(ROWS) % 2 == 0
    pairs = found(0.5, 0)
    single = OutOfFold(pairs.labels_N, HELD_OUT, pairs.probs, None, pairs.written, None, wanted)
    good = wanted_only(single)
    assert sorted(np.concatenate(good.held_out)) == list(range(0, ROWS, 2))
    assert {"accuracy", "bits_per_byte"} <= set(preference_scores(single, single))
