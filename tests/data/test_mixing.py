"""Shares of rows: as the formula says, exactly, and nothing held out is learnt again."""

import itertools

import numpy as np
import pytest

from fewtune.data.base import Dataset, Example, Message
from fewtune.data.general import PIECE, general_text, pieces, read_replay, replay_text, to_write
from fewtune.data.mixing import Mix, Replayed, drawn_passes, said, temperature_shares
from fewtune.data.tasks import join, named
from fewtune.errors import TaskError, UsageError


def rows(count, name="", kind="generation"):
    examples = tuple(
        Example(f"{name} {row}", id=str(row), row=row, completion=f"so {name} {row}") for row in range(1, count + 1)
    )
    return Dataset(examples, source=f"{name}.jsonl", task=kind)


def texts(count, name="text"):
    return Replayed(name, tuple(Example(f"{name} number {row}") for row in range(count)))


@pytest.mark.parametrize("temperature", [1.0, 2.0, 5.0])
def test_shares_are_those_of_the_formula(temperature):
    counts = [900, 90, 10]
    weights = [count ** (1 / temperature) for count in counts]
    assert temperature_shares(counts, temperature) == pytest.approx([weight / sum(weights) for weight in weights])


def test_temperature_one_is_by_rows_and_without_end_all_alike():
    assert temperature_shares([30, 10], 1.0) == pytest.approx([0.75, 0.25])
    assert temperature_shares([3000, 10], 1e9) == pytest.approx([0.5, 0.5], abs=1e-6)
    assert temperature_shares([30, 0, 10], 2.0)[1] == 0.0


def test_after_every_pass_each_source_has_given_its_share_to_within_a_row():
    pools, shares, length = [np.arange(50), np.arange(50, 57), np.arange(57, 160)], [0.6, 0.35, 0.05], 41.3
    given = np.zeros(3)
    for number, drawn in enumerate(itertools.islice(drawn_passes(pools, shares, length, np.random.default_rng(0)), 40)):
        given += [np.isin(drawn, pool).sum() for pool in pools]
        assert np.abs(given - (number + 1) * length * np.array(shares)).max() <= 0.5


def test_a_source_is_taken_in_rounds_each_row_once():
    pools = [np.arange(6), np.arange(6, 11)]
    drawn = np.concatenate(list(itertools.islice(drawn_passes(pools, [0.5, 0.5], 10, np.random.default_rng(3)), 6)))
    for pool in pools:
        counts = np.bincount(drawn, minlength=11)[pool]
        assert counts.max() - counts.min() <= 1
    again = np.concatenate(list(itertools.islice(drawn_passes(pools, [0.5, 0.5], 10, np.random.default_rng(3)), 6)))
    np.testing.assert_array_equal(drawn, again)


def test_replay_lengthens_a_pass_and_takes_no_row_away():
    mix = Mix(replayed=(texts(30), texts(10, "other")), share=0.2)
    assert mix.pass_length(80) == pytest.approx(100)
    assert mix.shares(80) == pytest.approx([0.8, 0.1, 0.1])
    counts = np.bincount(next(mix.passes(80, np.random.default_rng(0))), minlength=120)
    assert (counts[:80] == 1).all()
    assert counts[80:110].sum() == counts[110:].sum() == 10


def test_shares_are_counted_anew_in_the_rows_of_a_run():
    _, mix = join([("a", rows(40, "a")), ("b", rows(10, "b"))], temperature=1.0)
    part = mix.subset([*range(10), *range(40, 50)])
    assert part.shares(20) == pytest.approx([0.5, 0.5])
    drawn = next(part.passes(20, np.random.default_rng(0)))
    assert sorted(drawn) == list(range(20))


def test_what_is_held_out_is_not_replayed():
    shown = Example("a", completion="b")
    talk = Example("c", completion="d", messages=(Message("user", "C "), Message("assistant", "d")))
    mix = Mix(replayed=(Replayed("one", (Example("A", completion=" B"), Example("a", completion="other"), talk)),))
    assert mix.without([shown]).replay == mix.replay[1:]
    assert mix.without([shown, Example("c", completion="D")]).replay == mix.replay[1:2]
    assert mix.without([*mix.replay]).plain


def test_shipped_text_to_replay_is_none_that_forgetting_is_measured_on():
    measured, replayed = general_text(), replay_text()
    assert len(replayed) == len({said(example) for example in replayed}) >= 120
    assert not {said(example) for example in measured} & {said(example) for example in replayed}
    assert {one.fields["kind"] for one in measured} == {one.fields["kind"] for one in replayed}


def test_nothing_measured_is_replayed_from_a_file(tmp_path):
    first, second = general_text().examples[:2]
    path = tmp_path / "own.txt"
    path.write_text(f"{first.text.upper()}\nBefore it. {second.text}\nSomething else.\n", encoding="utf-8")
    found = read_replay(path, measured=[general_text()])
    assert [one.text for one in found.examples] == ["Something else."]
    with pytest.raises(UsageError, match="nothing to replay"):
        read_replay([first.text], measured=[general_text()])


def test_long_texts_are_cut_at_ends_of_sentences():
    sentences = [f"This is sentence {number} of a long text." for number in range(40)]
    cut = pieces(Example(" ".join(sentences)))
    assert " ".join(one.text for one in cut) == " ".join(sentences)
    assert max(len(one.text) for one in cut) <= PIECE
    assert all(one.text.endswith(".") for one in cut)
    assert pieces(Example("a" * 1000, completion="b"))[0].text == "a" * 1000


def test_a_seq2seq_model_is_asked_for_the_second_half():
    assert to_write(Example("a b c d"), "seq2seq") == Example("a b", completion="c d")
    assert to_write(Example("a b c d"), "causal").completion is None


def test_tasks_are_joined_under_their_own_names():
    whole, mix = join([("a", rows(5, "a")), ("b", rows(4, "b"))])
    assert (whole.source, len(whole), mix.task_N) == ("a.jsonl + b.jsonl", 9, (0,) * 5 + (1,) * 4)
    assert [example.id for example in whole][4:6] == ["a/5", "b/1"]


def test_tasks_that_cannot_be_mixed_are_refused_with_their_file():
    with pytest.raises(TaskError, match=r"b\.jsonl.*fewtune stages"):
        join([("a", rows(5, "a")), ("b", rows(5, "b", "language_modelling"))])
    with pytest.raises(TaskError, match=r"b\.jsonl.*models that write"):
        join([("a", rows(5, "a")), ("b", rows(5, "b", "classification"))])
    with pytest.raises(UsageError, match="same name"):
        join([("a", rows(5, "a")), ("a", rows(5, "b"))])
    with pytest.raises(UsageError, match="temperature"):
        join([("a", rows(5, "a")), ("b", rows(5, "b"))], temperature=0)


def test_a_task_is_named_by_its_file_or_by_hand(tmp_path):
    odd = tmp_path / "x=y.jsonl"
    odd.write_text("", encoding="utf-8")
    assert named("data/sums.jsonl") == ("sums", "data/sums.jsonl")
    assert named("adding=data/sums.jsonl") == ("adding", "data/sums.jsonl")
    assert named(str(odd)) == ("x=y", str(odd))
