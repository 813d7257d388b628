"""Each promise at the top of `time_splits.py`, on random times and groups; and nested folds."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.data.nested import nested
from fewtune.data.splits import repeated_folds
from fewtune.data.time_splits import forward_folds, latest
from fewtune.errors import TaskError, UsageError

TIMES = st.lists(st.integers(0, 30), min_size=2, max_size=60).map(lambda values: np.asarray(values, dtype=np.float64))


@st.composite
def timed(draw):
    times = draw(TIMES)
    groups = draw(st.lists(st.none() | st.integers(0, 5), min_size=len(times), max_size=len(times)))
    return times, groups


def try_to(make):
    try:
        return make()
    except TaskError:
        return None


@given(timed(), st.integers(1, 5))
def test_every_row_learned_from_is_older_and_no_group_is_on_two_sides(data, folds):
    times, groups = data
    splits = try_to(lambda: forward_folds(times, groups, folds=folds))
    for split in splits or []:
        assert times[split.train].max() < times[split.test].min()
        own = {groups[row] for row in split.train} - {None}
        assert not own & {groups[row] for row in split.test}
        older = set(np.flatnonzero(times < times[split.test].min()).tolist())
        held = {groups[row] for row in split.test} - {None}
        assert set(split.train.tolist()) == {row for row in older if groups[row] not in held}


@given(TIMES, st.integers(1, 5))
def test_tested_parts_follow_one_another_and_only_the_oldest_is_never_tested(times, folds):
    splits = try_to(lambda: forward_folds(times, folds=folds))
    if splits is None:
        assert len(set(times)) == 1
        return
    tested = np.concatenate([split.test for split in splits])
    assert len(tested) == len(set(tested.tolist()))
    assert sorted([*splits[0].train, *tested]) == list(range(len(times)))
    for before, after in itertools.pairwise(splits):
        assert times[before.test].max() < times[after.test].min()
    assert len(splits) <= folds
    assert (len(splits) < folds) == ("not" in splits[0].note)


def test_equal_parts_where_times_differ():
    assert [len(split.test) for split in forward_folds(np.arange(60.0), folds=5)] == [10] * 5


@given(timed(), st.floats(0.05, 0.9))
def test_the_newest_rows_are_set_aside(data, share):
    times, groups = data
    split = try_to(lambda: latest(times, groups, share=share))
    if split is not None:
        assert times[split.train].max() < times[split.test].min()
        assert not {groups[row] for row in split.train if groups[row] is not None} & {groups[row] for row in split.test}


def test_about_the_share_is_set_aside_and_left_out_rows_are_said():
    times = np.arange(100.0)
    assert len(latest(times, share=0.2).test) == 20
    split = latest(times, [None] * 79 + [1, 1] + [None] * 19, share=0.2)
    assert len(split.train) == 79
    assert "left out (1 in all)" in split.note


def test_what_cannot_be_split():
    with pytest.raises(TaskError, match="one time"):
        forward_folds(np.zeros(5), folds=2)
    with pytest.raises(TaskError, match="shares a group"):
        latest(np.arange(4.0), [1, 1, 1, 1], share=0.5)
    with pytest.raises(UsageError):
        forward_folds(np.arange(4.0), folds=0)
    with pytest.raises(UsageError):
        latest(np.arange(4.0), share=1.0)


@settings(max_examples=30)
@given(st.integers(0, 5), st.booleans())
def test_inner_folds_hold_nothing_of_the_tested_rows_and_split_the_rest(seed, by_time):
    labels, times = list("abcabc" * 6), np.arange(36.0)
    groups = [row // 2 for row in range(36)]
    outer = (
        forward_folds(times, groups, folds=3) if by_time else repeated_folds(labels, groups, folds=3, repeats=2, seed=1)
    )
    inner = nested(outer, labels, groups, folds=2, seed=seed, times=times if by_time else None)
    assert len(inner) == len(outer)
    for split, folds in zip(outer, inner, strict=True):
        for fold in folds:
            rows = {*fold.train.tolist(), *fold.test.tolist()}
            assert rows <= set(split.train.tolist())
            assert not {groups[row] for row in fold.train} & {groups[row] for row in fold.test}
            if by_time:
                assert times[fold.train].max() < times[fold.test].min()
        if not by_time:
            assert sorted(np.concatenate([fold.test for fold in folds])) == split.train.tolist()
    again = nested(outer, labels, groups, folds=2, seed=seed, times=times if by_time else None)
    assert [fold.test.tolist() for folds in inner for fold in folds] == [f.test.tolist() for fs in again for f in fs]


def test_a_training_part_too_small_to_split_again_is_named():
    outer = repeated_folds(list("abab"), [0, 0, 1, 1], folds=2, seed=0)
    with pytest.raises(TaskError, match=r"Repeat 1, fold 1 cannot be split again.*--nested"):
        nested(outer, list("abab"), [0, 0, 1, 1], folds=2, seed=0)
