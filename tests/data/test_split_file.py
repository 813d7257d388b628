"""`splits.json`: there and back, for these rows only, and never read when damaged."""

import json

import numpy as np
import pytest

from fewtune import Dataset, Example
from fewtune.data.nested import nested
from fewtune.data.split_file import SplitFile, splits_of
from fewtune.data.splits import repeated_folds
from fewtune.errors import UnreadableFile, UsageError

ROWS = Dataset(tuple(Example(f"text {n}", "ab"[n % 2], id=f"r{n}", row=n + 1) for n in range(12)))


@pytest.fixture
def made():
    outer = repeated_folds(ROWS.labels, folds=3, repeats=2, seed=0)
    inner = nested(outer, ROWS.labels, folds=2, seed=0)
    return SplitFile.of(ROWS, outer, inner=inner, settings={"folds": 3, "seed": 0})


def test_there_and_back(made, tmp_path):
    again = SplitFile.read(made.write(tmp_path / "deep" / "splits.json"))
    assert again.fingerprint == made.fingerprint
    assert again.ids == tuple(example.id for example in ROWS)
    for before, after in zip(made.splits, again.splits, strict=True):
        assert (before.repeat, before.fold) == (after.repeat, after.fold)
        assert before.train.tolist() == after.train.tolist()
        assert before.test.tolist() == after.test.tolist()
    assert [[fold.test.tolist() for fold in folds] for folds in again.inner] == [
        [fold.test.tolist() for fold in folds] for folds in made.inner
    ]
    again.check(ROWS)


def changed(**changes):
    examples = list(ROWS.examples)
    examples[4] = Example(**{"text": "text 4", "label": "a", "id": "r4", "row": 5, **changes})
    return ROWS.replace(examples=examples)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (ROWS.subset(range(11)), "they have 12 rows, this file has 11"),
        (changed(id="other"), "row 5 has the id 'other', not 'r4'"),
        (changed(text="other"), "a text or a label has changed"),
        (changed(label="b"), "a text or a label has changed"),
    ],
)
def test_other_rows_are_told_apart(made, rows, said):
    with pytest.raises(UsageError, match=said):
        made.check(rows)


def test_groups_may_be_named_or_not(made):
    made.check(changed(group="g"))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda plain: plain["splits"][0]["test"].append(99),
        lambda plain: plain["splits"][0]["test"].append(plain["splits"][0]["train"][0]),
        lambda plain: plain["splits"][0]["test"].clear(),
        lambda plain: plain["splits"].clear(),
        lambda plain: plain["splits"][0].pop("train"),
        lambda plain: plain["settings"].update(seed=7),
        lambda plain: plain.update(format=2),
        lambda plain: plain.pop("rows"),
    ],
)
def test_a_damaged_file_is_refused(made, tmp_path, spoil):
    plain = made.to_json()
    spoil(plain)
    (tmp_path / "s.json").write_text(json.dumps(plain))
    with pytest.raises(UnreadableFile):
        SplitFile.read(tmp_path / "s.json")


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"format": 1}'])
def test_what_is_no_file_of_splits(tmp_path, text):
    (tmp_path / "s.json").write_text(text)
    with pytest.raises(UnreadableFile):
        SplitFile.read(tmp_path / "s.json")
    with pytest.raises(UnreadableFile, match="no such file"):
        SplitFile.read(tmp_path / "absent.json")


def test_splits_from_whatever_a_person_has(made, tmp_path):
    path = made.write(tmp_path / "s.json")
    pairs = [(split.train, split.test) for split in made.splits]
    for given in (path, str(path), made, list(made.splits), pairs, [(a.tolist(), b.tolist()) for a, b in pairs]):
        found = splits_of(given, ROWS)
        assert [split.test.tolist() for split in found] == [split.test.tolist() for split in made.splits]


@pytest.mark.parametrize(
    "given", [[], 3, [1], [([0], [99])], [([0], [0])], [([], [1])], [("ab", "cd")], [([0.5], [1, 2**70])]]
)
def test_what_are_no_splits(given):
    with pytest.raises(UsageError):
        splits_of(given, ROWS)


def test_the_fingerprint_follows_rows_settings_and_splits(made):
    outer = list(made.splits)
    prints = {
        SplitFile.of(ROWS, outer, settings={"seed": 0}).fingerprint,
        SplitFile.of(ROWS, outer, settings={"seed": 1}).fingerprint,
        SplitFile.of(ROWS, outer[:3], settings={"seed": 0}).fingerprint,
        SplitFile.of(changed(text="x"), outer, settings={"seed": 0}).fingerprint,
    }
    assert len(prints) == 4
    assert np.array_equal(outer[0].train, made.splits[0].train)
