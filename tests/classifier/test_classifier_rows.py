"""Texts and labels as people have them: taken where they can be meant, and where not, the first fault has a place."""

import numpy as np
import pandas as pd
import pytest

from fewtune import TextClassifier
from fewtune.classifier.rows import dataset_of, labels_of, names_of, texts_of, told_of_empty
from fewtune.errors import UsageError
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(8)
NO_LABEL = [None, float("nan"), np.float32("nan"), pd.NA, pd.NaT]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        (["b", "a"], ["a", "b"]),
        ([10, 2], ["2", "10"]),
        ([True, False], ["False", "True"]),
        ([1.0, 0.0], ["0", "1"]),
        (np.asarray([1, -1], dtype=np.float32), ["-1", "1"]),
        (pd.Series([3, 1], dtype="Int64"), ["1", "3"]),
        (pd.Series(["x", "y"], dtype="category"), ["x", "y"]),
    ],
    ids=["strings", "integers", "booleans", "whole floats", "float32", "nullable", "categories"],
)
def test_labels_that_can_be_meant(given, names):
    labels = labels_of(given, 2)
    assert labels.tolist() == list(given)
    assert names_of(np.unique(labels)) == names


@pytest.mark.parametrize("missing", NO_LABEL, ids=repr)
@pytest.mark.parametrize("others", [["a", "b", "c"], [0, 1, 2], [0.0, 1.0, 2.0]], ids=["strings", "integers", "floats"])
def test_a_missing_label_has_a_place_and_a_remedy(missing, others):
    with pytest.raises(UsageError, match=r"^y\[3\] has no label \(.*\)\. Leave such rows out.*unlabelled"):
        labels_of([*others, missing], 4)


def test_a_missing_label_of_a_series_is_no_fraction():
    with pytest.raises(UsageError, match=r"^y\[0\] has no label"):
        labels_of(pd.Series([np.nan, 1, 2]), 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([0.0, 0.25, 1.0], r"y\[1\] is 0.25: fractions"),
        ([0.0, float("inf"), 1.0], r"y\[1\] is inf"),
        (["a", "b", 3], r"y\[0\] is a text and y\[2\] a number"),
        ([0, "a", 1], r"y\[1\] is a text and y\[0\] a number"),
        ([0, 1, b"a"], r"y\[2\] is of type bytes"),
        ([["a"], ["b"], ["a", "b"]], r"y\[0\] is of type list, not a label"),
        (np.zeros((3, 1)), r"y\[0\] is of type ndarray"),
        ([0, 1], "y has 2 labels for 3 texts"),
        (None, "y is missing"),
    ],
)
def test_labels_that_cannot_be_meant(given, said):
    with pytest.raises(UsageError, match=said):
        labels_of(given, 3)


def test_whole_floats_come_back_as_they_were_given(tiny_folders):
    """A column of codes that pandas has made floats of."""
    y = np.asarray([float(TOYS.classes.index(label)) for label in TOYS.labels])
    classifier = TextClassifier(str(tiny_folders("bert")), methods=["probe"], folds=3, repeats=1).fit(TOYS.texts, y)
    assert classifier.classes_.dtype == np.float64
    assert classifier.classes_.tolist() == [0.0, 1.0, 2.0]
    assert set(classifier.predict(TOYS.texts)) <= {0.0, 1.0, 2.0}
    assert classifier.model_.classes == ("0", "1", "2")


def test_texts_are_named_by_the_argument_they_came_in():
    with pytest.raises(UsageError, match=r"unlabelled\[1\] is of type int"):
        texts_of(["a", 3], "unlabelled")


def test_empty_texts_are_told_of_by_number_and_place():
    assert told_of_empty(["a", "b"], "so.", depth=1) == ()
    with pytest.warns(UserWarning, match=r"^2 of 3 texts are empty \(X\[0\], X\[2\]\): so\.$"):
        told_of_empty(["", "a", " \n"], "so.", depth=1)
    with pytest.warns(UserWarning, match=r"^9 of 9 texts are empty \(X\[0\], .*X\[4\], …\): so\.$"):
        told_of_empty([""] * 9, "so.", depth=1)


def test_a_fit_and_a_prediction_warn_of_empty_texts_where_they_were_called(tiny_folders):
    classifier = TextClassifier(str(tiny_folders("bert")), methods=["majority"], folds=3, repeats=1)
    with pytest.warns(UserWarning, match=r"1 of 24 texts is empty \(X\[0\]\): they are learned from") as caught:
        classifier.fit(["", *TOYS.texts[1:]], TOYS.labels)
    (note,) = [note for note in classifier.result_["data"]["notes"] if "empty" in note]
    assert note == str(caught[0].message)
    for ask in (classifier.predict, classifier.predict_proba):
        with pytest.warns(UserWarning, match=r"1 of 2 texts is empty \(X\[0\]\): each gets an answer") as again:
            assert len(ask(["", "x"])) == 2
        assert {one.filename for one in (*caught, *again)} == {__file__}


def test_rows_without_notes_or_groups():
    assert dataset_of(["a", "b"], ["x", "y"], None).notes == ()
