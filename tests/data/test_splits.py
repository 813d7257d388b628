"""Each promise at the top of `splits.py`, on random datasets."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.data.splits import holdout, merge_groups, repeated_folds
from fewtune.errors import TaskError, UsageError

LABELS = st.lists(st.sampled_from("abcd"), min_size=4, max_size=60).filter(lambda labels: len(set(labels)) != 2)
FOLDS = st.integers(2, 6)
SEEDS = st.integers(0, 2**32)


@st.composite
def grouped(draw):
    labels = draw(LABELS)
    group = st.one_of(st.none(), st.integers(0, 8))
    groups = draw(st.lists(group, min_size=len(labels), max_size=len(labels)))
    return labels, groups


def blocks_of(groups):
    return [row if group is None else f"g{group}" for row, group in enumerate(groups)]


@given(grouped(), FOLDS, st.integers(1, 3), SEEDS)
def test_every_row_is_tested_once_a_repeat_and_no_group_is_on_two_sides(data, folds, repeats, seed):
    labels, groups = data
    if len(set(blocks_of(groups))) < 2:
        return
    splits = repeated_folds(labels, groups, folds=folds, repeats=repeats, seed=seed)
    made = min(folds, len(set(blocks_of(groups))))
    assert [(split.repeat, split.fold) for split in splits] == [(r, f) for r in range(repeats) for f in range(made)]
    for repeat in range(repeats):
        tested = np.concatenate([split.test for split in splits if split.repeat == repeat])
        assert sorted(tested) == list(range(len(labels)))
    for split in splits:
        assert split.test.dtype == split.train.dtype == np.int64
        assert len(split.test)
        assert sorted([*split.train, *split.test]) == list(range(len(labels)))
        blocks = blocks_of(groups)
        assert not {blocks[row] for row in split.train} & {blocks[row] for row in split.test}


@given(LABELS, FOLDS, SEEDS)
def test_single_rows_are_balanced_to_one_row_a_class_and_a_fold(labels, folds, seed):
    splits = repeated_folds(labels, folds=folds, seed=seed)
    for name in set(labels):
        counts = [sum(labels[row] == name for row in split.test) for split in splits]
        assert max(counts) - min(counts) <= 1
    sizes = [len(split.test) for split in splits]
    assert max(sizes) - min(sizes) <= 1


@given(LABELS, FOLDS, SEEDS)
def test_single_rows_are_balanced_beside_one_pair(labels, folds, seed):
    """The group path evens out what a small group left."""
    groups = [0, 0] + [None] * (len(labels) - 2)
    splits = repeated_folds(labels, groups, folds=folds, seed=seed)
    for name in set(labels):
        counts = [sum(labels[row] == name for row in split.test) for split in splits]
        assert max(counts) - min(counts) <= 2


@given(grouped(), FOLDS, SEEDS)
def test_same_seed_same_splits_whatever_classes_and_groups_are_called(data, folds, seed):
    labels, groups = data
    if len(set(blocks_of(groups))) < 2:
        return
    renamed = [{"a": "zz", "b": "", "c": "aa", "d": "b"}[label] for label in labels]
    regrouped = [None if group is None else f"x{99 - group}" for group in groups]
    one = repeated_folds(labels, groups, folds=folds, repeats=2, seed=seed)
    other = repeated_folds(renamed, regrouped, folds=folds, repeats=3, seed=seed)
    for split, same in zip(one, other, strict=False):
        assert split.test.tolist() == same.test.tolist()
    held, same_held = (holdout(*pair, share=0.3, seed=seed) for pair in ((labels, groups), (renamed, regrouped)))
    assert held.test.tolist() == same_held.test.tolist()


def test_seeds_and_repeats_differ():
    labels = list("ab" * 20)
    splits = repeated_folds(labels, folds=5, repeats=2, seed=0)
    assert splits[0].test.tolist() != splits[5].test.tolist()
    assert splits[0].test.tolist() != repeated_folds(labels, folds=5, seed=1)[0].test.tolist()


@given(grouped(), FOLDS, SEEDS)
def test_a_class_in_two_pure_groups_is_never_absent_from_training(data, folds, seed):
    labels, groups = data
    pure = [f"{label}{group}" if group is not None else None for label, group in zip(labels, groups, strict=True)]
    blocks = {(block, label) for block, label in zip(blocks_of(pure), labels, strict=True)}
    spread = Counter(label for _, label in blocks)
    if len(blocks) < 2:
        return
    for split in repeated_folds(labels, pure, folds=folds, seed=seed):
        trained = {labels[row] for row in split.train}
        assert {name for name, count in spread.items() if count > 1} <= trained


@given(grouped(), st.floats(0.05, 0.9), SEEDS)
def test_holdout_splits_no_group_and_leaves_every_class_in_training(data, share, seed):
    labels, groups = data
    split = holdout(labels, groups, share=share, seed=seed)
    blocks = blocks_of(groups)
    assert sorted([*split.train, *split.test]) == list(range(len(labels)))
    assert not {blocks[row] for row in split.train} & {blocks[row] for row in split.test}
    assert {labels[row] for row in split.train} == set(labels)


@given(st.integers(2, 40), st.integers(2, 40), st.floats(0.1, 0.5), SEEDS)
def test_holdout_of_single_rows_has_the_share_asked_for(first, second, share, seed):
    labels = ["a"] * first + ["b"] * second
    split = holdout(labels, share=share, seed=seed)
    assert len(split.test) == max(1, round(share * len(labels)))
    held = Counter(labels[row] for row in split.test)
    assert abs(held["a"] - share * first) <= 1
    assert abs(held["b"] - share * second) <= 1


def test_holdout_is_empty_where_nothing_can_be_spared():
    assert len(holdout(["a", "b", "c"], share=0.5, seed=0).test) == 0
    assert len(holdout([], share=0.5, seed=0).test) == 0


def test_fewer_groups_than_folds_is_said():
    splits = repeated_folds(list("aabbaabb"), list("xxyyzzww"), folds=5, seed=0)
    assert len(splits) == 4
    assert "4 folds, not 5" in splits[0].note
    assert splits[0].folds == 4


def test_a_class_with_one_row_is_tested_and_the_note_says_so():
    labels = ["rare", *"ababab"]
    splits = repeated_folds(labels, folds=3, seed=0)
    assert sum(0 in split.test for split in splits) == 1
    assert "1 classes have a single row" in splits[0].note or "1 class has a single row" in splits[0].note


def test_a_test_that_would_leave_one_class_is_refused():
    with pytest.raises(TaskError, match="single row or group"):
        repeated_folds(["a", "b", "b", "b"], folds=2, seed=0)
    with pytest.raises(TaskError, match="cannot be split"):
        repeated_folds(["a", "b"], [1, 1], folds=2, seed=0)
    with pytest.raises(TaskError, match="cannot be split"):
        repeated_folds([], folds=2, seed=0)


@pytest.mark.parametrize("options", [{"folds": 1}, {"folds": 2, "repeats": 0}])
def test_folds_that_cannot_be_meant(options):
    with pytest.raises(UsageError):
        repeated_folds(list("aabb"), seed=0, **options)


def test_lists_of_different_lengths_and_shares_out_of_range():
    with pytest.raises(UsageError, match="4 labels but 1 groups"):
        repeated_folds(list("aabb"), [1], folds=2, seed=0)
    with pytest.raises(UsageError, match="share"):
        holdout(list("aabb"), share=1.0, seed=0)
    with pytest.raises(UsageError, match="2 clusters but 1 groups"):
        merge_groups([1], [1, 2])


@settings(max_examples=50)
@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 5)), st.integers(0, 12)), max_size=30))
def test_merged_groups_hold_both(pairs):
    groups, clusters = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    merged = merge_groups(groups, clusters)
    for one in range(len(pairs)):
        for other in range(one):
            if clusters[one] == clusters[other] or (groups[one] is not None and groups[one] == groups[other]):
                assert merged[one] == merged[other]
    assert list(dict.fromkeys(merged)) == list(range(len(set(merged))))


def test_merged_groups_join_through_others_and_nothing_more():
    assert merge_groups(["x", "x", None, None, "y"], [0, 1, 1, 2, 3]) == [0, 0, 0, 1, 2]
    assert merge_groups(None, [5, 5, 7]) == [0, 0, 1]
