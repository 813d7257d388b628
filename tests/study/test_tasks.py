"""Several tasks in one tuning, and replay, on a tiny model tuned for real."""

import dataclasses

import numpy as np
import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import groups_to_write
from fewtune.data.mixing import Mix, Replayed
from fewtune.data.splits import repeated_folds
from fewtune.data.tasks import join
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.metrics.base import OutOfFold
from fewtune.recipe import Recipe
from fewtune.report.tasks import HURT, with_tasks
from fewtune.study.budget import Budget
from fewtune.study.evaluator import Evaluator, bits_per_byte
from fewtune.study.ladder import Climb
from fewtune.study.rung import Rung
from fewtune.study.store import RunStore
from fewtune.study.tasks import NO_TIME, NOT_TUNED, apart, splits_of_task
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.run import Context, Run, fit

LEARNS = FullWriter(rate=1e-2, epochs=64.0, batch_size=64)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Whose words are further apart than random weights have them, so that it learns in a few steps."""
    made = load_language_model(make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama"), precision="float32")
    made.model.get_input_embeddings().weight.data.mul_(25)
    return made


def said(count, completion, start=0):
    firsts, seconds = ("red", "green", "blue", "cat", "dog"), ("one", "two", "three", "Mill", "Spice", "area")
    words = [f"{first} {second}" for first in firsts for second in seconds]
    rows = [Example(words[n], id=str(n), row=n + 1, completion=completion) for n in range(start, start + count)]
    return Dataset(tuple(rows), task="generation")


@pytest.fixture(scope="module")
def conflict(model):
    """The same prompts answered in two ways, the second of which hardly has a share in what is learnt."""
    examples = said(16, "Italian").examples + said(8, "riverside").examples
    mix = Mix(("many", "few"), (0,) * 16 + (1,) * 8, temperature=0.1)
    whole = Dataset(examples, task="generation")
    return Context(whole, {}, groups_to_write(whole), language_models={"default": model}, mix=mix)


def evaluator_of(context, **options):
    splits = repeated_folds(context.labels.tolist(), context.groups, folds=4, seed=0)
    return Evaluator(context, splits, executor=SerialExecutor(), **options)


def climbed(evaluator, model, method):
    """As if `method` had won."""
    recipes = [Recipe(ZeroShotPrompt(), template=model.settle()), Recipe(method, template=model.settle())]
    rungs = tuple(Rung(recipe, evaluator.judge(recipe)) for recipe in recipes)
    return Climb(rungs, (0, 1), 1, (), rungs[1].judged.oof)


def test_the_task_that_mixing_hurts_is_named(conflict, model, tmp_path):
    evaluator = evaluator_of(conflict, store=RunStore(tmp_path))
    climb = climbed(evaluator, model, LEARNS)
    many, few = apart(evaluator, climb)
    assert (len(many.rows), len(few.rows)) == (16, 8)
    result = {"verdict": {"sentence": "So it is.", "advice": []}}
    with_tasks(result, conflict, climb, [many, few])
    tasks = {one["name"]: one for one in result["tasks"]}
    assert tasks["few"]["verdict"] == HURT
    assert tasks["few"]["against_alone"]["high"] < 0
    assert "few" in result["verdict"]["hurt"]
    assert "Mixing hurts" in result["verdict"]["sentence"]
    assert "few" in result["verdict"]["advice"][0]["do"]
    assert tasks["few"]["against_alone"]["difference"] == pytest.approx(
        tasks["few"]["alone"]["cv"]["bits_per_byte"]["mean"] - tasks["few"]["cv"]["bits_per_byte"]["mean"], abs=1e-6
    )
    assert sum(one["share"] for one in result["tasks"]) == pytest.approx(1)

    lines = (tmp_path / "runs.jsonl").read_text()
    again = evaluator_of(conflict, store=RunStore(tmp_path))
    apart(again, climb)
    assert (tmp_path / "runs.jsonl").read_text() == lines, "what was tuned alone is never computed again"


def test_alone_is_the_same_split_without_the_others(conflict):
    splits = evaluator_of(conflict).splits
    rows = np.arange(16, 24)
    for whole, part in zip(splits, splits_of_task(splits, rows), strict=True):
        assert set(rows[part.train]) == set(whole.train) & set(rows)
        assert set(rows[part.test]) == set(whole.test) & set(rows)
        assert (part.repeat, part.fold) == (whole.repeat, whole.fold)


def test_every_fold_holds_rows_of_every_task(conflict):
    for split in evaluator_of(conflict).splits:
        assert set(conflict.labels[split.test]) == set(conflict.labels[split.train]) == {0, 1}


def test_what_was_not_tuned_or_had_no_time_says_so(conflict, model):
    evaluator = evaluator_of(conflict)
    plain = Recipe(ZeroShotPrompt(), template=model.settle())
    rung = Rung(plain, evaluator.judge(plain))
    assert {one.reason for one in apart(evaluator, Climb((rung,), (0,), 0, (), rung.judged.oof))} == {NOT_TUNED}
    evaluator.budget = Budget(1.0, started=-1e9)
    tuned = Rung(Recipe(LEARNS, template=model.settle()), rung.judged)
    judged = dataclasses.replace(rung.judged, recipe=tuned.recipe)
    late = Climb((Rung(tuned.recipe, judged),), (0,), 0, (), rung.judged.oof)
    assert {one.reason for one in apart(evaluator, late)} == {NO_TIME}


def test_some_rows_of_held_out_predictions():
    rng = np.random.default_rng(0)
    held_out = (np.array([0, 2, 4]), np.array([1, 3]))
    oof = OutOfFold(np.arange(5), held_out, tuple(rng.random((len(rows), 2)) for rows in held_out), list("abcde"))
    part = oof.only(np.array([2, 4]))
    assert part.labels_N.tolist() == [2, 4]
    assert [rows.tolist() for rows in part.held_out] == [[0, 1]]
    np.testing.assert_array_equal(part.probs[0], oof.probs[0][1:])
    assert part.groups == ["c", "e"]
    with pytest.raises(ValueError, match="no split"):
        oof.only(np.array([], dtype=np.int64))


def tuned(model, rows, mix, epochs=4.0):
    context = Context(rows, {}, None, language_models={"default": model}, mix=mix)
    everything = np.arange(len(rows))
    recipe = Recipe(FullWriter(rate=5e-3, epochs=epochs), template=model.settle())
    return fit(Run(recipe, everything, everything[:0], 0), context)


def test_replayed_rows_are_learnt_beside_the_own_and_forgotten_less(model):
    toys, other = writer_toys(8), said(12, "the cat is red and the dog is green")
    first = tuned(model, other, None, epochs=24.0)
    started = dataclasses.replace(model, model=first.merged.model, _computed={})
    costs = {}
    for share in (0.0, 0.3):
        mix = None if not share else Mix(replayed=(Replayed("other", other.examples),), share=share)
        later = tuned(started, toys, mix, epochs=12.0)
        costs[share] = bits_per_byte(later.costs(other.examples)), bits_per_byte(later.costs(toys.examples))
    before = bits_per_byte(first.costs(other.examples))
    assert costs[0.0][0] > before, "what is not learnt again is forgotten"
    assert costs[0.3][0] < costs[0.0][0]
    assert costs[0.3][1] < bits_per_byte(first.costs(toys.examples))
    assert later.notes[0].startswith("30% of the rows, ")
    assert len(later.log.steps) == np.ceil(12 * 8 / 0.7 / 8)


def test_a_run_replays_nothing_of_its_held_out_rows(model):
    toys = writer_toys(8)
    mix = Mix(replayed=(Replayed("same", toys.examples),))
    context = Context(toys, {}, None, language_models={"default": model}, mix=mix)
    recipe = Recipe(FullWriter(), template=model.settle())
    material = context.material(Run(recipe, np.arange(4), np.arange(4, 8), 0))
    assert material.mix.replay == toys.examples[:4]
    assert context.key(Run(recipe, np.arange(4), np.arange(4, 8), 0)) != dataclasses.replace(context, mix=None).key(
        Run(recipe, np.arange(4), np.arange(4, 8), 0)
    )


def test_rows_set_aside_to_stop_by_are_of_every_task_and_none_replayed(model):
    other = Dataset(tuple(writer_toys(16).examples[8:]), task="generation")
    whole, mix = join([("a", writer_toys(8)), ("b", other)], replayed=[Replayed("x", (Example("red"),))])
    context = Context(whole, {}, None, language_models={"default": model}, mix=mix)
    material = context.material(Run(Recipe(LEARNS), np.arange(16), np.arange(0), 0))
    assert len(material.examples) == 16
    part = material.subset(np.array([0, 15]))
    assert part.mix.task_N == (0, 1)
    assert part.mix.replay == mix.replay
