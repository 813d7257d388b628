"""Texts that are written, through evaluator, store, executors, choice and ladder."""

import dataclasses
import json

import numpy as np
import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example
from fewtune.data.exchanges import groups_to_write
from fewtune.data.splits import repeated_folds
from fewtune.methods.base import Written
from fewtune.methods.generation.few_shot import FewShotPrompt
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.closeness import Given, closeness
from fewtune.recipe import Recipe
from fewtune.report.written import cheaper_but_worse
from fewtune.study.choice import Candidate, choose
from fewtune.study.epochs import EXCHANGED, longer_or_shorter, to_try
from fewtune.study.evaluator import Evaluator, Judged, bits_per_byte
from fewtune.study.ladder import Climb, climb, default_rungs
from fewtune.study.rung import Rung
from fewtune.study.simplicity import simplest
from fewtune.study.store import RunStore
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.executors.forked import ForkedExecutor
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.executors.stacked import StackedExecutor
from fewtune.tune.run import Context, Outcome, Run

TOYS = writer_toys(12)
QUICK = LoRAWriter(rate=1e-2, epochs=1, least_steps=2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_language_model(make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama"), precision="float32")


@pytest.fixture
def context(model):
    return Context(TOYS, {}, groups_to_write(TOYS), language_models={"default": model})


@pytest.fixture
def splits(context):
    return repeated_folds(context.labels.tolist(), context.groups, folds=3, repeats=2, seed=0)


def recipes(model):
    return [Recipe(method, template=model.settle()) for method in (ZeroShotPrompt(), FewShotPrompt(shots=1), QUICK)]


def same(first, second, rtol=0.0):
    np.testing.assert_allclose(first.written.nll, second.written.nll, rtol=rtol)
    np.testing.assert_array_equal(first.written.tokens, second.written.tokens)
    assert first.written.texts == second.written.texts


@pytest.mark.parametrize(
    ("other", "rtol"), [(ForkedExecutor(2), 0.0), (StackedExecutor(), 1e-5)], ids=["forked", "stacked"]
)
def test_executors_carry_what_is_written(context, splits, model, other, rtol):
    plan = [
        Run(recipe, s.train, s.test, 1, write=n == 0) for recipe in recipes(model) for n, s in enumerate(splits[:2])
    ]
    plain, found = (dict(hands.execute(plan, context)) for hands in (SerialExecutor(), other))
    assert sorted(found) == sorted(plain) == list(range(len(plan)))
    for place, outcome in plain.items():
        same(outcome, found[place], rtol)
        assert (outcome.written.texts is not None) == plan[place].write
        assert outcome.probs.shape == (len(plan[place].test), 0)


def test_a_finished_run_is_read_again_and_not_done_again(context, splits, model, tmp_path):
    first = Evaluator(context, splits, store=RunStore(tmp_path), executor=SerialExecutor())
    judged = first.judge(recipes(model)[2])

    class Nobody(SerialExecutor):
        def execute(self, plan, context, *, tick=None):
            assert not plan, "a finished run is never computed again"
            return iter(())

    again = Evaluator(context, splits, store=RunStore(tmp_path), executor=Nobody()).judge(recipes(model)[2])
    for mine, other in zip(judged.outcomes, again.outcomes, strict=True):
        same(mine, other)
        assert mine.log == other.log
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert all(line["bits_per_byte"] > 0 for line in lines)


def test_odd_texts_survive_the_store(tmp_path):
    written = Written(np.ones(3), np.ones(3, dtype=np.int64), np.ones(3, dtype=np.int64), ("", "a\x00b\n", "ü 😀\x00"))
    RunStore(tmp_path).put("key", Outcome(np.zeros((3, 0)), 1.0, written=written), {})
    found = RunStore(tmp_path).get("key")
    assert found.written.texts == written.texts


def test_texts_are_written_once_a_row(context, splits, model):
    judged = Evaluator(context, splits, executor=SerialExecutor()).judge(recipes(model)[0])
    rows = [row for split, one in zip(splits, judged.outcomes, strict=True) if one.written.texts for row in split.test]
    assert sorted(rows) == list(range(len(TOYS)))


def test_of_plain_texts_nothing_is_written(model):
    texts = dataclasses.replace(TOYS, task="language_modelling")
    context = Context(texts, {}, None, language_models={"default": model})
    splits = repeated_folds(context.labels.tolist(), folds=2, seed=0)
    judged = Evaluator(context, splits, executor=SerialExecutor()).judge(recipes(model)[0])
    assert all(one.written.texts is None for one in judged.outcomes)


def test_no_held_out_row_stands_in_what_a_run_learns_from(context, splits, model):
    for split in splits:
        material = context.material(Run(recipes(model)[1], split.train, split.test, 0))
        held_out = {TOYS.examples[row] for row in split.test}
        assert not held_out & set(material.examples)
        assert material.texts == [example.prompt for example in material.examples]


def test_the_key_of_a_run_tells_whether_it_wrote(context, splits, model):
    run = Run(recipes(model)[0], splits[0].train, splits[0].test, 0)
    assert context.key(run) != context.key(dataclasses.replace(run, write=True))


def written(costs, size=10):
    costs = np.asarray(costs, dtype=np.float64)
    sizes = np.full(len(costs), size, dtype=np.int64)
    return Written(costs, sizes, sizes)


def out_of_fold(*costs, size=10):
    rows = np.arange(sum(map(len, costs)))
    held_out = tuple(np.split(rows, np.cumsum([len(part) for part in costs])[:-1]))
    probs = tuple(np.zeros((len(part), 0)) for part in costs)
    return OutOfFold(np.zeros(len(rows), dtype=np.int64), held_out, probs, None, tuple(written(c, size) for c in costs))


def test_two_splits_write_at_least_and_no_more_rows_than_say_something(context, splits, monkeypatch):
    monkeypatch.setattr("fewtune.study.evaluator.MOST_WRITTEN", 1)
    evaluator = Evaluator(context, splits)
    recipe = Recipe(QUICK)
    assert [evaluator.run(recipe, number).write for number in range(len(splits))] == [True, True, *[False] * 4]


def test_row_scores_are_minus_bits_per_byte():
    costs = [[1.0, 2.0], [3.0, 6.0]]
    oof = out_of_fold(*costs)
    assert np.concatenate(oof.row_scores).mean() == pytest.approx(-12 / (40 * np.log(2)))
    assert bits_per_byte(written([1.0, 2.0])) == pytest.approx(3 / (20 * np.log(2)))


def noisy(level, seed=0, rows=60, folds=3):
    rng = np.random.default_rng(seed)
    return np.split(level + rng.normal(0, 0.3, rows), folds)


def test_the_simplest_within_one_error_wins_and_prompts_only_where_they_are_best():
    candidates = [
        Candidate("zero_shot", out_of_fold(*noisy(20.0, 1))),
        Candidate("lora", out_of_fold(*noisy(10.0, 2))),
        Candidate("full", out_of_fold(*noisy(10.0, 3))),
    ]
    assert choose(candidates, 60.0)[0] == 1, "full is no better: the simpler one"
    assert choose(candidates, 60.0, candidates[0].oof.held_out[0])[0] == 1
    worse = [Candidate("zero_shot", out_of_fold(*noisy(9.0, 1))), *candidates[1:]]
    assert choose(worse, 60.0)[0] == 0


def sure(level, close, rows=3):
    """Two splits of rows that cost one thing, with texts that come so close to what was given."""
    plain = out_of_fold([level] * rows, [level] * rows)
    parts = tuple(dataclasses.replace(part, closeness=np.full(rows, close)) for part in plain.written)
    return dataclasses.replace(plain, written=parts)


def judged(epochs, oof):
    recipe = Recipe(LoRAWriter(epochs=epochs))
    return Rung(recipe, Judged(recipe, (), oof))


def test_lengths_are_chosen_by_what_is_written_and_not_by_its_loss():
    prompts = Candidate("zero_shot", sure(30.0, 99.0))
    short, longer = Candidate("lora", sure(10.0, 40.0)), Candidate("lora", sure(12.0, 45.0))
    assert choose([prompts, short, longer], 60.0)[0] == 2
    assert choose([prompts, short, longer], 60.0, prompts.oof.held_out[0])[0] == 2
    tried = [judged(6, short.oof), judged(12, longer.oof)]
    assert longer_or_shorter(tried).method.epochs == 24
    worse_in_both = sure(13.0, 39.0)
    assert longer_or_shorter([judged(6, longer.oof), judged(12, worse_in_both)]).method.epochs == 3


def test_a_length_of_more_loss_must_write_better_by_more_than_chance():
    rng = np.random.default_rng(1)

    def wrote(cost, level):
        plain = out_of_fold([cost] * 30, [cost] * 30)
        parts = tuple(dataclasses.replace(p, closeness=level + rng.normal(0, 15, 30)) for p in plain.written)
        return Candidate("lora", dataclasses.replace(plain, written=parts))

    assert choose([wrote(10.0, 40.0), wrote(12.0, 41.0)], 60.0)[0] == 0
    assert choose([wrote(10.0, 40.0), wrote(12.0, 60.0)], 60.0)[0] == 1


def test_no_length_is_taken_that_loses_half_of_what_another_saves_over_a_prompt():
    prompt, short = Candidate("zero_shot", sure(12.0, 1.0)), Candidate("lora", sure(10.0, 40.0))
    assert choose([prompt, short, Candidate("lora", sure(12.0, 60.0))], 60.0)[0] == 1
    assert choose([prompt, short, Candidate("lora", sure(11.1, 60.0))], 60.0)[0] == 1
    assert choose([prompt, short, Candidate("lora", sure(10.9, 60.0))], 60.0)[0] == 2
    assert choose([short, Candidate("lora", sure(12.0, 60.0))], 60.0)[0] == 1, "nothing to lose without a prompt"


def test_longer_is_tried_while_the_loss_falls_whatever_the_texts_say():
    tried = [judged(6, sure(10.0, 45.0)), judged(12, sure(9.0, 44.0))]
    assert longer_or_shorter(tried).method.epochs == 24
    tried.append(judged(24, sure(9.5, 44.5)))
    assert longer_or_shorter(tried).method.epochs == 3
    assert longer_or_shorter([*tried, judged(3, sure(9.9, 40.0))]) is None


def test_what_was_not_written_by_all_is_chosen_by_loss():
    short, silent = Candidate("lora", sure(10.0, 40.0)), Candidate("lora", out_of_fold([12.0] * 3, [12.0] * 3))
    assert choose([short, silent], 60.0)[0] == 0
    assert choose([silent, short], 60.0)[0] == 1
    assert longer_or_shorter([judged(6, short.oof), judged(12, silent.oof)]).method.epochs == 3


def test_a_prompt_wins_by_bits_alone_and_only_over_all_that_were_tuned():
    tuned = [Candidate("lora", sure(10.0, 40.0)), Candidate("full", sure(11.0, 45.0))]
    assert choose([Candidate("few_shot", sure(10.5, 99.0)), *tuned], 60.0)[0] == 2
    assert choose([Candidate("few_shot", sure(9.0, 1.0)), *tuned], 60.0)[0] == 0


def test_the_simplest_method_within_an_error_by_what_is_written():
    rng = np.random.default_rng(0)

    def writer(level):
        plain = out_of_fold([10.0] * 30, [10.0] * 30)
        parts = tuple(dataclasses.replace(p, closeness=level + rng.normal(0, 9, 30)) for p in plain.written)
        return dataclasses.replace(plain, written=parts)

    assert choose([Candidate("lora", writer(40.0)), Candidate("full", writer(40.5))], 60.0)[0] == 0
    assert choose([Candidate("lora", writer(40.0)), Candidate("full", writer(60.0))], 60.0)[0] == 1


def test_only_splits_in_which_all_wrote_are_compared():
    def part(close):
        return dataclasses.replace(written([1.0, 1.0]), closeness=None if close is None else np.full(2, close))

    held_out = [np.array([0, 1]), np.array([2, 3]), np.array([4, 5])]
    found, rows = closeness([[part(1.0), part(2.0), part(None)], [part(3.0), part(None), part(4.0)]], held_out)
    assert [[array.tolist() for array in one] for one in found] == [[[1.0, 1.0]], [[3.0, 3.0]]]
    np.testing.assert_array_equal(rows, [[0, 1]])
    assert closeness([[part(None)], [part(1.0)]], held_out[:1]) is None


def test_texts_are_held_against_all_completions_of_their_prompt():
    rows = [
        Example("Ask a", completion="one two"),
        Example(" ask A", completion="three four"),
        Example("b", completion="c"),
    ]
    given = Given(rows)
    texts = ("three four", "one two", "zzz")
    said = given.judged(dataclasses.replace(written([1.0] * 3), texts=texts), np.array([0, 1, 2]))
    assert said.closeness.tolist() == pytest.approx([100.0, 100.0, 0.0])
    assert said.subset(np.array([2, 0])).closeness.tolist() == pytest.approx([0.0, 100.0])
    assert given.judged(written([1.0]), np.array([0])).closeness is None, "nothing was written"
    plain = Given([Example("a text")])
    assert plain.judged(dataclasses.replace(written([1.0]), texts=("a",)), np.array([0])).closeness is None


def test_a_result_says_why_the_candidate_of_least_loss_was_not_chosen():
    rungs = (judged(6, sure(10.0, 40.0)), judged(12, sure(12.0, 45.0)))
    told = cheaper_but_worse(Climb(rungs, (0, 1), 1, (), rungs[1].judged.oof))
    assert told.startswith(f"LoRA, 6 epochs costs {10 / 10 / np.log(2):.3f} bits per byte where LoRA, 12 epochs costs")
    assert "chrF 40.0 against 45.0" in told
    assert cheaper_but_worse(Climb(rungs, (0, 1), 0, (), rungs[0].judged.oof)) == ""
    silent = (judged(6, out_of_fold([10.0] * 3, [10.0] * 3)), rungs[1])
    assert cheaper_but_worse(Climb(silent, (0, 1), 1, (), rungs[1].judged.oof)) == ""


def test_of_one_method_the_best_length_is_taken():
    scores = [[-part for part in noisy(level, 4)] for level in (20.0, 12.0, 11.9, 12.4)]
    held_out = out_of_fold(*noisy(1.0)).held_out
    assert simplest(scores, ["zero_shot", "lora", "lora", "lora"], held_out, None) == 2


def rung(epochs, level):
    recipe = Recipe(LoRAWriter(epochs=epochs))
    return Rung(recipe, None if level is None else Judged(recipe, (), out_of_fold([level] * 3, [level] * 3)))


def search(levels, first=6.0):
    """The lengths that are tried where `levels` says what each would cost."""
    tried = [rung(first, levels(first))]
    while (wanted := longer_or_shorter(tried)) is not None:
        tried.append(rung(wanted.method.epochs, levels(wanted.method.epochs)))
        assert len(tried) < 20
    return [one.recipe.method.epochs for one in tried]


def test_epochs_are_doubled_while_the_loss_falls():
    assert search(lambda epochs: abs(np.log2(epochs / 24))) == [6, 12, 24, 48]


def test_epochs_are_halved_where_doubling_raised_the_loss():
    assert search(lambda epochs: abs(np.log2(epochs / 3))) == [6, 12, 3, 1.5]


def test_epochs_stay_within_reason():
    assert max(search(lambda epochs: 1 / epochs)) == 96
    assert min(search(lambda epochs: epochs)) >= 0.5


NAMED = [Example(f"name={name}", completion=f"{name} is open", id=name) for name in ("zizzi", "alba", "noor", "taj")]
BARE = [Example("goodbye()", completion="bye", id=f"bye {number}") for number in range(20)]


def search_exchanging(levels, examples, first=6.0):
    """The lengths tried, and whether phrases were exchanged, where `levels` says what each would cost."""
    tried = [rung(first, levels(first, 0.0))]
    while (wanted := to_try(tried, examples)) is not None:
        level = levels(wanted.method.epochs, wanted.method.exchange)
        tried.append(Rung(wanted, Judged(wanted, (), out_of_fold([level] * 3, [level] * 3))))
        assert len(tried) < 20
    return [(one.recipe.method.epochs, one.recipe.method.exchange) for one in tried]


def test_lengths_are_sought_with_phrases_exchanged_where_that_helps():
    found = search_exchanging(lambda epochs, exchange: abs(np.log2(epochs / 12)) + (1 - exchange), NAMED)
    assert found == [(6, 0), (6, EXCHANGED), (12, EXCHANGED), (24, EXCHANGED)]


def test_lengths_are_sought_without_where_that_does_not_help():
    found = search_exchanging(lambda epochs, exchange: abs(np.log2(epochs / 12)) + exchange, NAMED)
    assert found == [(6, 0), (6, EXCHANGED), (12, 0), (24, 0)]


def test_nothing_is_exchanged_where_rows_have_nothing_in_common_with_their_answers():
    assert search_exchanging(lambda epochs, exchange: epochs, BARE, first=1.0) == [(1, 0), (2, 0), (0.5, 0)]
    few = [*NAMED, *BARE]
    assert all(exchange == 0 for _, exchange in search_exchanging(lambda epochs, exchange: epochs, few))


def test_nothing_is_tried_after_a_length_that_was_skipped():
    assert longer_or_shorter([rung(6.0, None)]) is None
    assert longer_or_shorter([Rung(Recipe(ZeroShotPrompt()))]) is None


def test_the_ladder_holds_prompts_and_each_length_and_scores_the_choosing(context, splits, model):
    plain = default_rungs(["default"], unlabelled=False, task="generation")
    assert [one.method.name for one in plain] == ["zero_shot", "few_shot", "lora", "top_layers", "full"]
    evaluator = Evaluator(context, splits, executor=SerialExecutor())
    climbed = climb(evaluator, recipes(model))
    names = [one.recipe.method.name for one in climbed.rungs]
    assert names[:2] == ["zero_shot", "few_shot"]
    assert names.count("lora") >= 2
    assert len(climbed.chosen) == len(splits)
    assert climbed.beliefs == ()
    for number, pick in enumerate(climbed.chosen):
        np.testing.assert_array_equal(
            climbed.headline.written[number].nll, climbed.rungs[pick].judged.oof.written[number].nll
        )
