"""Leaked test rows are named once, by the surest measure; they block where they could move the score."""

import pytest

from fewtune.audit.base import Ground
from fewtune.audit.copies import Copies
from fewtune.audit.leakage import Descendants, Leakage, RewordedLeakage, SharedGroups
from fewtune.audit.leaks import group_column, leaks
from fewtune.data.base import Dataset, Example

TRAIN = [
    ("The parcel that I ordered three weeks ago has not arrived.", "late"),
    ("How do I change the battery of the doorbell?", "help"),
    ("You charged my credit card twice for the same subscription.", "money"),
    ("The thermostat shows an error and will not connect.", "help"),
]
NEW = [
    f"Message {word} about something else" for word in ["north", "east", "south", "west", "up", "down", "left", "right"]
]


def rows(pairs, **columns):
    return Dataset(
        tuple(
            Example(
                text, label, id=f"{place}", row=place, **{key: values[place - 1] for key, values in columns.items()}
            )
            for place, (text, label) in enumerate(pairs, 1)
        )
    )


@pytest.fixture(scope="module")
def minilm():
    from fewtune.backbones.load import load_encoder

    return load_encoder("default").embed


def test_each_leak_is_found_by_its_measure(minilm):
    copied, doorbell, charged, _ = (text for text, _ in TRAIN)
    test = rows(
        [
            (copied, "late"),
            (doorbell.upper() + "!!", "help"),
            (charged.replace("twice", "twcie"), "late"),
            ("The parcel which I ordered three weeks ago still has not yet arrived.", "late"),
            (NEW[0], "help"),
        ]
    )
    ground = Ground(rows(TRAIN), test, embed=minilm)
    assert [(leak.test, leak.train, leak.kind) for leak in ground.leaks] == [
        (0, 0, "exact"),
        (1, 1, "normalised"),
        (2, 2, "near"),
        (3, 0, "reworded"),
    ]
    (spelt,) = Leakage().run(ground)
    assert spelt.severity == "blocks"
    assert spelt.what.startswith("3 of 5 test rows are")
    assert spelt.numbers == {"share": 0.6, "by_measure": {"exact": 1, "normalised": 1, "near": 1}}
    assert [row.row for row in spelt.rows] == [1, 2, 3]
    assert spelt.rows[0].note == "exact: training row 1"
    assert spelt.rows[2].note == f"near: training row 3, labelled 'money' there: {charged}"
    (said_again,) = RewordedLeakage().run(ground)
    assert said_again.severity == "blocks"
    assert said_again.rows[0].part == "test"


def test_without_vectors_rewordings_are_not_looked_for():
    test = rows([("The parcel which I ordered three weeks ago still has not yet arrived.", "late")])
    assert leaks(rows(TRAIN), test) == []


def test_a_few_leaks_in_many_rows_warn_only():
    many = [(f"{text} {place}", "help") for place in range(40) for text in NEW]
    (found,) = Leakage().run(Ground(rows(TRAIN), rows([TRAIN[0], *many])))
    assert found.severity == "warning"
    assert found.what == "1 of 321 test rows is also in the training file, word for word or nearly so."


def test_clean_files_give_no_finding(minilm):
    ground = Ground(rows(TRAIN), rows([(text, "help") for text in NEW[:1]]), embed=minilm)
    assert [*Leakage().run(ground), *RewordedLeakage().run(ground)] == []
    assert [*Descendants().run(ground), *SharedGroups().run(ground)] == []


def test_parents_children_and_siblings_across_the_split():
    train = rows([(text, "x") for text in NEW[:4]], parent=[None, "T3", "lost", None])
    test = Dataset(
        (
            Example(NEW[4], "x", id="T1", row=1, parent="1"),  # its parent is training row 1
            Example(NEW[5], "x", id="T2", row=2, parent="lost"),  # a sibling of training row 3
            Example(NEW[6], "x", id="T3", row=3),  # the parent of training row 2
            Example(NEW[7], "x", id="T4", row=4),
        )
    )
    (found,) = Descendants().run(Ground(train, test))
    assert [(row.row, row.note[:22]) for row in found.rows] == [
        (1, "family: training row 1"),
        (2, "family: training row 3"),
        (3, "family: training row 2"),
    ]


def test_row_numbers_as_ids_do_not_make_relatives():
    """Both files number their rows from 1: a parent in a row's own file is meant."""
    train = rows([(text, "x") for text in NEW[:3]], parent=[None, "1", None])
    test = rows([(text, "x") for text in NEW[4:7]], parent=[None, "1", None])
    assert leaks(train, test) == []


def test_groups_on_both_sides():
    train = rows([(text, "x") for text in NEW[:3]], group=["ann", "bob", None])
    test = rows([(text, "x") for text in NEW[4:8]], group=["bob", "cid", None, None])
    (found,) = SharedGroups().run(Ground(train, test))
    assert [(row.row, row.note) for row in found.rows] == [(1, f"group: training row 2: {NEW[1]}")]


def test_a_test_file_read_without_its_group_is_looked_up_by_the_column():
    train = rows(
        [(text, "x") for text in NEW[:2]], group=["a", "b"], fields=[{"k": "a", "n": "1"}, {"k": "b", "n": "2"}]
    )
    test = rows([(text, "x") for text in NEW[4:6]], fields=[{"k": "b"}, {"n": "a"}])
    assert group_column(train) == "k"
    assert [(leak.test, leak.train, leak.kind) for leak in leaks(train, test)] == [(0, 1, "group")]


def test_copies_that_contradict_come_first_and_rewordings_name_their_twin(minilm):
    again = "The parcel which I ordered three weeks ago still has not yet arrived."
    train = rows([*TRAIN, (TRAIN[1][0].lower(), "late"), (again, "help")])
    first, second, third = Copies().run(Ground(train, embed=minilm))
    assert (first.severity, [row.row for row in first.rows]) == ("warning", [2, 5])
    assert (second.severity, [row.row for row in second.rows]) == ("note", [5])
    assert third.what == "1 of 6 rows says the same as another in nearly the same words, 1 of them under another label."
    assert third.rows[0].note == f"like row 1, labelled 'late': {TRAIN[0][0]}"


def test_groups_keep_rewordings_together_where_there_are_vectors(minilm):
    train = rows([*TRAIN, ("The parcel which I ordered three weeks ago still has not yet arrived.", "late")])
    assert Ground(train).groups == [0, 1, 2, 3, 4]
    assert Ground(train, embed=minilm).groups == [0, 1, 2, 3, 0]
