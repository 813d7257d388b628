from __future__ import annotations

import json

import numpy as np
import pytest
from text_worlds import spoiled

from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers, by_prompt
from fewtune.metrics.generation import compare_all, interval_json, score_all
from fewtune.metrics.intervals import Interval
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.slots import SlotCounter
from fewtune.metrics.text_scores import NAMES

FAST = {"draws": 200}


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    values = [(name, food) for name in ("joe", "ann", "bob") for food in ("thai", "french", "korean")] * 4
    prompts = [f"inform(name={name};food={food})" for name, food in values]
    given = [f"{name} serves very good {food} food here" for name, food in values]
    return prompts, given, spoiled(rng, given, 0.1), spoiled(rng, given, 0.5)


def scored(world, which, **settings):
    prompts, given = world[:2]
    answers = Answers.of(world[which], given, prompts=prompts)
    losses = Likelihoods.of(np.full(len(given), 2.0 * which), np.full(len(given), 7), texts=given)
    return score_all(answers, likelihoods=losses, **FAST, **settings)


def test_everything_that_can_be_had_is_there_in_order(world):
    found = scored(world, 2)
    assert tuple(found.intervals) == NAMES
    assert found.absent == {}
    assert found.rows == 36
    for interval in found.intervals.values():
        assert interval.low <= interval.mean <= interval.high


def test_the_shape_is_that_of_result_json(world):
    told = json.loads(json.dumps(scored(world, 2).to_json(), allow_nan=False))
    assert set(told["bleu"]) == {"mean", "low", "high"}
    assert set(told) == {*NAMES, "rows", "signatures", "absent", "notes", "slot_errors"}
    assert told["signatures"]["bleu"].startswith("nrefs:1|case:mixed")
    assert "loss" not in told["signatures"]


def test_slot_errors_come_with_those_of_the_references(world):
    good, bad = scored(world, 2), scored(world, 3)
    assert good.slot_errors["slots"] == bad.slot_errors["slots"] == 72
    assert good.slot_errors["references"] == 0.0
    assert good.slot_errors["missing"] < bad.slot_errors["missing"]
    rate = sum(bad.slot_errors[part] for part in ("missing", "repeated", "added")) / 72
    assert bad.intervals["slot_error"].mean == pytest.approx(rate)


def test_what_cannot_be_had_is_absent_with_a_reason():
    plain = score_all(Answers.of(["a b", "c"], ["a b", "d"], prompts=["p", "q"]), **FAST)
    assert "bleu" in plain.intervals
    assert plain.absent["loss"] == "no losses were measured"
    assert plain.absent["slot_error"].startswith("neither a column of slots")
    losses = score_all(likelihoods=Likelihoods.of([1.0, 2.0], [1, 1], bytes_N=[3, 3]), **FAST)
    assert tuple(losses.intervals) == ("loss", "perplexity", "bits_per_byte")
    assert losses.absent["bleu"] == "there are no outputs with references"
    assert losses.rows == 2
    unsayable = Answers.of(["what"], ["what"], prompts=["?request(food)"])
    assert score_all(unsayable, **FAST).absent["slot_error"] == "no slot has a value that can be looked for"


def test_some_scores_only(world):
    found = scored(world, 2, scores=["chrf", "loss"])
    assert tuple(found.intervals) == ("loss", "chrf")
    assert found.absent == {}
    assert found.slot_errors is None


def test_scores_of_the_users_own(world, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(
        "def starts(outputs, references):\n    return [o[:3] == r[0][:3] for o, r in zip(outputs, references)]\n"
    )

    def length(outputs, references):
        return float(np.mean([len(output) for output in outputs]))

    found = scored(world, 2, scores=["bleu"], own=[f"start={path}:starts", length])
    assert tuple(found.intervals) == ("bleu", "start", "length")
    assert 0 < found.intervals["start"].low < found.intervals["start"].mean <= 1
    assert found.signatures["start"] == "own.py:starts"
    other = scored(world, 3, scores=["bleu"], own=[f"start={path}:starts", length])
    assert set(compare_all(found, other, draws=100, swaps=100)) == {"bleu", "start", "length"}


def test_a_name_twice_is_refused(world):
    def bleu(outputs, references):
        return 1.0

    with pytest.raises(UsageError, match="two scores 'bleu'"):
        scored(world, 2, own=[bleu])
    with pytest.raises(UsageError, match="needs outputs and references"):
        score_all(likelihoods=Likelihoods.of([1.0], [1], bytes_N=[1]), own=[lambda outputs, references: 1.0])


def test_nothing_at_all_is_refused():
    with pytest.raises(UsageError, match="nothing to score"):
        score_all()


def test_the_better_system_is_told_in_every_score(world):
    found = compare_all(scored(world, 2), scored(world, 3), draws=300, swaps=300)
    assert set(found) == set(NAMES)
    assert {comparison.verdict for name, comparison in found.items()} == {"better"}
    assert all(comparison.difference > 0 for comparison in found.values())


def test_scores_of_other_rows_are_left_out_of_a_comparison(world):
    a = scored(world, 2)
    b = score_all(Answers.of(world[3][:5], world[1][:5]), **FAST)
    assert compare_all(a, b) == {}


def test_groups_widen_what_copies_narrow(world):
    _, given, outputs, _ = world
    copies, groups = 4, list(range(len(given))) * 4
    alone = score_all(Answers.of(outputs, given), scores=["bleu"], **FAST)
    apart = score_all(Answers.of(outputs * copies, given * copies), scores=["bleu"], **FAST)
    together = score_all(Answers.of(outputs * copies, given * copies, groups=groups), scores=["bleu"], **FAST)
    assert apart.intervals["bleu"].width < 0.7 * alone.intervals["bleu"].width
    assert together.intervals["bleu"].width == pytest.approx(alone.intervals["bleu"].width, rel=0.15)


def test_losses_of_other_rows_have_groups_of_their_own():
    answers = Answers.of(["a", "b"], ["a", "c"], groups=["g", "g"])
    losses = Likelihoods.of([1.0, 2.0, 3.0, 9.0], [1, 1, 1, 1], bytes_N=[3, 3, 3, 3])
    alone = score_all(answers, likelihoods=losses, scores=["loss"], **FAST).intervals["loss"]
    paired = score_all(answers, likelihoods=losses, likelihood_groups=[0, 0, 1, 1], scores=["loss"], **FAST)
    assert "4 clusters" in alone.method
    assert "2 clusters" in paired.intervals["loss"].method
    same = Likelihoods.of([1.0, 2.0], [1, 1], bytes_N=[3, 3])
    assert score_all(answers, likelihoods=same, scores=["loss"], **FAST).intervals["loss"].high == np.inf


def test_notes_name_what_a_number_hides(world):
    prompts, given, outputs, _ = world
    asked = by_prompt([*prompts, prompts[0]], [*given, "another way"])
    several = Answers.of(["", *outputs[1 : len(asked.prompts)]], asked.references, prompts=asked.prompts)
    notes = " ".join(score_all(several, **FAST).notes)
    assert "1 of 9 outputs are empty" in notes
    assert "1 of 9 rows has several references" in notes
    foreign = score_all(Answers.of(["привет мир"] * 3, ["привет всем"] * 3), **FAST)
    assert any("ROUGE reads a to z and digits only: 100%" in note for note in foreign.notes)
    split = score_all(Answers.of(["it is ."] * 3, ["it is so ."] * 3), **FAST)
    assert any("split into words already" in note for note in split.notes)
    assert scored(world, 2).notes == ()


def test_values_made_up_are_known_from_the_training_rows():
    answers = Answers.of(["joe serves korean thai"], ["joe serves thai"], slots=[{"name": "joe", "food": "thai"}])
    training = Answers.of(["x"], ["ann serves korean"], slots=[{"name": "ann", "food": "korean"}])
    assert score_all(answers, **FAST).slot_errors["added"] == 0
    counter = SlotCounter.of(training.slots, training.references)
    assert score_all(answers, counter=counter, **FAST).slot_errors["added"] == 1


def test_one_row_is_scored_and_claims_nothing():
    told = score_all(Answers.of(["a"], ["b"]), likelihoods=Likelihoods.of([1.0], [1], bytes_N=[2]), **FAST).to_json()
    assert told["loss"] == {"mean": 1.0, "low": 0.0, "high": None}
    assert (told["chrf"]["low"], told["chrf"]["high"]) == (0.0, 100.0)


def test_the_same_seed_gives_the_same_numbers(world):
    assert scored(world, 2, seed=3).to_json() == scored(world, 2, seed=3).to_json()
    assert scored(world, 2, seed=3).to_json() != scored(world, 2, seed=4).to_json()


def test_an_interval_without_end_is_null():
    assert interval_json(Interval(1.0, float("-inf"), float("nan"))) == {"mean": 1.0, "low": None, "high": None}
