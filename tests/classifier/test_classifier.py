"""The whole job behind scikit-learn's interface, on tiny backbones."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from fewtune import Dataset, Example, TextClassifier, load
from fewtune.errors import DataError, UsageError
from fewtune.testing.toys import toy_dataset

TOYS = toy_dataset(8)
NEW = toy_dataset(10, seed=5)


def make(tiny_folders, **settings):
    return TextClassifier(str(tiny_folders("bert")), **{"methods": ["probe"], "folds": 3, "repeats": 1, **settings})


@pytest.fixture(scope="module")
def fitted(tiny_folders):
    return make(tiny_folders).fit(TOYS.texts, TOYS.labels)


def test_it_learns_and_says_so(fitted):
    assert fitted.score(NEW.texts, NEW.labels) > 0.6
    assert fitted.classes_.tolist() == sorted(set(TOYS.labels))
    probs = fitted.predict_proba(NEW.texts)
    assert probs.shape == (30, 3)
    np.testing.assert_allclose(probs.sum(1), 1.0)
    np.testing.assert_array_equal(fitted.predict(NEW.texts), fitted.classes_[probs.argmax(1)])
    assert fitted.result_["winner"]["name"] == "probe"
    assert "better than the majority class" in fitted.result_["verdict"]["sentence"]
    assert [rung["name"] for rung in fitted.ladder_] == ["majority", "probe"]
    assert fitted.temperature_ > 0


def test_the_result_is_plain_json_and_adds_up(fitted):
    result = json.loads(json.dumps(fitted.result_, allow_nan=False))
    assert result["rows"] == 24
    assert [one["rows"] for one in result["classes"]] == [8, 8, 8]
    assert np.sum(result["winner"]["confusion"]) == 24
    assert sum(result["winner"]["selected_share"].values()) == pytest.approx(1.0)
    for interval in result["winner"]["cv"].values():
        assert interval["low"] <= interval["mean"] <= interval["high"]
    assert result["resampling"]["splits"] == 3
    assert {"fewtune", "python", "torch"} <= set(result["versions"])


def test_clone_and_parameters(tiny_folders):
    classifier = make(tiny_folders, budget="1m", random_state=7)
    params = classifier.get_params()
    assert params["budget"] == "1m"
    twin = clone(classifier)
    assert twin is not classifier
    assert twin.get_params() == params
    assert not hasattr(twin, "classes_")
    assert twin.set_params(random_state=9, methods=None) is twin
    assert classifier.random_state == 7
    assert "TextClassifier" in repr(classifier)
    with pytest.raises(ValueError, match="Invalid parameter"):
        classifier.set_params(colour=1)


def test_the_constructor_only_remembers(tiny_folders):
    """Values that cannot be meant are said by `fit`, so that `clone` and searches can hold them."""
    for wrong in ({"budget": "soon"}, {"folds": 1}, {"repeats": 0}, {"abstain": 2.0}, {"methods": ["magic"]}):
        with pytest.raises(UsageError):
            make(tiny_folders, **wrong).fit(TOYS.texts, TOYS.labels)
    for wrong in ({"random_state": "x"}, {"random_state": np.random.RandomState(0)}, {"backbone": []}):
        with pytest.raises(UsageError):
            clone(TextClassifier(**{"backbone": str(tiny_folders("bert")), **wrong})).fit(TOYS.texts, TOYS.labels)


def test_fitting_changes_no_parameter(tiny_folders, fitted):
    assert fitted.get_params() == make(tiny_folders).get_params()


@pytest.mark.parametrize("call", ["predict", "predict_proba", "save"])
def test_not_fitted(tiny_folders, call, tmp_path):
    with pytest.raises(NotFittedError):
        getattr(make(tiny_folders), call)(tmp_path if call == "save" else ["a"])


def test_same_seed_same_bits_and_another_seed_another_split(tiny_folders, fitted):
    again = make(tiny_folders).fit(TOYS.texts, TOYS.labels)
    np.testing.assert_array_equal(again.predict_proba(NEW.texts), fitted.predict_proba(NEW.texts))
    assert without_times(again.result_) == without_times(fitted.result_)


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(inner) for key, inner in value.items() if "seconds" not in key}
    return [without_times(inner) for inner in value] if isinstance(value, list) else value


@pytest.mark.parametrize(
    "container",
    [np.asarray, pd.Series, tuple, lambda x: np.asarray(x, dtype=object)],
    ids=["numpy", "series", "tuple", "objects"],
)
def test_containers_of_texts_and_labels(tiny_folders, fitted, container):
    other = make(tiny_folders).fit(container(TOYS.texts), container(TOYS.labels))
    np.testing.assert_array_equal(other.predict_proba(container(NEW.texts)), fitted.predict_proba(NEW.texts))


def test_a_frame_of_one_column_and_any_index(tiny_folders, fitted):
    frame = pd.DataFrame({"text": TOYS.texts, "label": TOYS.labels}, index=range(100, 124))
    other = make(tiny_folders).fit(frame[["text"]], frame["label"])
    np.testing.assert_array_equal(other.predict_proba(NEW.texts), fitted.predict_proba(NEW.texts))
    categories = make(tiny_folders).fit(frame["text"], frame["label"].astype("category"))
    np.testing.assert_array_equal(categories.predict(NEW.texts), fitted.predict(NEW.texts))


@pytest.mark.parametrize("codes", [(10, 2, 33), (-1, 0, 1), (True, False, True)])
def test_labels_keep_their_type_and_order(tiny_folders, codes):
    """Sorted as numbers are, not as their spellings: 2 before 10."""
    number = dict(zip(sorted(set(TOYS.labels)), codes, strict=True))
    y = np.asarray([number[label] for label in TOYS.labels])
    classifier = make(tiny_folders).fit(TOYS.texts, y)
    np.testing.assert_array_equal(classifier.classes_, np.unique(y))
    assert classifier.predict(NEW.texts).dtype == y.dtype
    truth = np.asarray([number[label] for label in NEW.labels])
    assert classifier.score(NEW.texts, truth) > 0.5
    own = classifier.predict_proba(TOYS.texts)[np.arange(24), np.searchsorted(classifier.classes_, y)]
    assert own.mean() > 0.5


def test_no_texts_give_no_answers(fitted):
    assert fitted.predict([]).shape == (0,)
    assert fitted.predict_proba([]).shape == (0, 3)


def test_pipeline(tiny_folders):
    upper = FunctionTransformer(lambda texts: [text.upper() for text in texts])
    pipeline = Pipeline([("upper", upper), ("classify", make(tiny_folders))]).fit(TOYS.texts, TOYS.labels)
    assert pipeline.score(NEW.texts, NEW.labels) > 0.6
    assert pipeline.classes_.tolist() == sorted(set(TOYS.labels))


def test_cross_val_score(tiny_folders):
    scores = cross_val_score(make(tiny_folders), TOYS.texts, TOYS.labels, cv=2, scoring="neg_log_loss")
    assert scores.shape == (2,)
    assert np.isfinite(scores).all()


def test_grid_search_over_methods(tiny_folders):
    search = GridSearchCV(make(tiny_folders), {"methods": [["majority"], ["zero_shot"]]}, cv=2, error_score="raise")
    search.fit(TOYS.texts, TOYS.labels)
    assert search.best_params_["methods"] in (["majority"], ["zero_shot"])
    assert search.predict(NEW.texts).shape == (30,)


def test_what_scikit_learn_is_told():
    from sklearn.utils import get_tags

    tags = get_tags(TextClassifier())
    assert tags.estimator_type == "classifier"
    assert tags.input_tags.string
    assert tags.target_tags.required


BAD = {
    "one string": ("a text", ["x"], "one string"),
    "too few labels": (TOYS.texts, TOYS.labels[:-1], "one label a text"),
    "numbers as texts": ([1, 2, 3, 4], [0, 1, 0, 1], r"X\[0\] is of type int, not a text"),
    "an array as a text": ([np.ones(2), *TOYS.texts[1:]], TOYS.labels, r"X\[0\] is of type ndarray"),
    "no text": ([*TOYS.texts[:-1], None], TOYS.labels, r"X\[23\] is missing"),
    "a missing text": ([*TOYS.texts[:-1], pd.NA], TOYS.labels, r"X\[23\] is missing"),
    "a text that is no number": (pd.Series([np.nan, *TOYS.texts[1:]]), TOYS.labels, r"X\[0\] is missing"),
    "fractions": (TOYS.texts, np.linspace(0, 1, 24), "fractions"),
    "no labels": (TOYS.texts, None, "requires y"),
    "a missing label": (TOYS.texts, [None, *TOYS.labels[1:]], r"y\[0\] has no label"),
    "two columns of labels": (TOYS.texts, [["a", "b"]] * 24, "one label a text"),
    "two columns of texts": (pd.DataFrame({"a": TOYS.texts, "b": TOYS.texts}), TOYS.labels, "."),
    "nothing": ([], [], "empty"),
    "one row": (["a"], ["b"], "."),
    "one class": (TOYS.texts, ["a"] * 24, "one label"),
    "all texts equal": (["a"] * 24, TOYS.labels, "same text"),
    "a class a row": (TOYS.texts, list(range(24)), "distinct"),
}


@pytest.mark.parametrize("name", BAD)
def test_input_that_cannot_be_meant(tiny_folders, name):
    X, y, message = BAD[name]
    with pytest.raises((UsageError, DataError), match=message):
        make(tiny_folders).fit(X, y)


def test_groups_of_another_length(tiny_folders):
    with pytest.raises(UsageError, match="groups has 2 entries"):
        make(tiny_folders).fit(TOYS.texts, TOYS.labels, groups=["a", "b"])


def test_predicting_one_string(fitted):
    with pytest.raises(UsageError, match="one string"):
        fitted.predict("a text")
    with pytest.raises(UsageError, match="one string"):
        fitted.fit(TOYS.texts, TOYS.labels, unlabelled="a text")


def test_saved_and_loaded(fitted, tmp_path):
    folder = fitted.save(tmp_path / "model")
    model = load(folder)
    np.testing.assert_allclose(model.predict_proba(NEW.texts), fitted.predict_proba(NEW.texts), atol=1e-5)
    assert model.threshold == fitted.model_.threshold


def test_labels_dealt_at_random_are_not_believed(tiny_folders):
    for seed in (0, 1):
        toys = toy_dataset(10, seed=seed, shuffled=True)
        classifier = make(tiny_folders, random_state=seed).fit(toys.texts, toys.labels)
        sentence = classifier.result_["verdict"]["sentence"]
        assert "no better than the majority class" in sentence, sentence
        assert classifier.result_["verdict"]["against_majority"]["verdict"] != "better"


def test_groups_and_copies_never_stand_on_both_sides(tiny_folders):
    texts = [*TOYS.texts, *(text + "  " for text in TOYS.texts[:6]), TOYS.texts[7].upper()]
    labels = [*TOYS.labels, *TOYS.labels[:6], TOYS.labels[7]]
    groups = [str(row // 3) for row in range(len(texts))]
    classifier = make(tiny_folders).fit(texts, labels, groups=groups)
    climb = classifier.fit_.climb
    for rows in climb.headline.held_out:
        held = set(rows.tolist())
        for row, text in enumerate(texts):
            for other, copy in enumerate(texts):
                if groups[row] == groups[other] or text.strip().lower() == copy.strip().lower():
                    assert (row in held) == (other in held), (row, other)
    assert classifier.result_["data"]["duplicates"] >= 7
    assert classifier.result_["resampling"]["groups"] is True


def test_an_unlabelled_pool_adds_a_rung(tiny_folders):
    pool = toy_dataset(10, seed=3).texts
    classifier = make(tiny_folders, methods=["probe", "self_training"]).fit(TOYS.texts, TOYS.labels, unlabelled=pool)
    assert [rung["name"] for rung in classifier.ladder_] == ["majority", "probe", "self_training"]
    assert classifier.result_["data"]["unlabelled"]["rows"] == 30


def test_an_unlabelled_pool_of_another_kind_is_warned_of(tiny_folders):
    """Eight rows a class cannot show it by their scores; the texts themselves can."""
    rows = toy_dataset(14, seed=4)
    others = [f"Invoice {number} of the quarry, payable at once." for number in range(40)]

    def warned(pool):
        fitted = make(tiny_folders, methods=["probe"]).fit(rows.texts, rows.labels, unlabelled=pool)
        return [one for one in fitted.result_["warnings"] if one["check"] == "shift"]

    (warning,) = warned(others)
    assert warning["severity"] == "warning"
    assert warning["numbers"]["parts"] == ["train", "unlabelled"]
    assert "leave these unlabelled texts out" in warning["do"]
    assert warned(toy_dataset(14, seed=5).texts) == []


def test_several_backbones_are_rungs(tiny_folders):
    folders = [str(tiny_folders("bert")), str(tiny_folders("distilbert"))]
    classifier = TextClassifier(folders, methods=["probe", "zero_shot"], folds=3, repeats=1)
    classifier.fit(TOYS.texts, TOYS.labels)
    names = [(rung["name"], rung["backbone"]) for rung in classifier.ladder_]
    assert names == [
        ("majority", None),
        ("zero_shot", folders[0]),
        ("probe", folders[0]),
        ("zero_shot", folders[1]),
        ("probe", folders[1]),
    ]
    assert sum(classifier.result_["winner"]["selected_share"].values()) == pytest.approx(1.0)


def test_a_fit_of_a_dataset_keeps_its_ids(tiny_folders):
    rows = tuple(Example(e.text, e.label, id=f"T{e.row}", row=e.row) for e in TOYS)
    classifier = make(tiny_folders).fit_dataset(Dataset(rows, source="tickets.csv"))
    assert classifier.result_["source"] == "tickets.csv"
    assert all(row["id"] == f"T{row['row']}" for row in classifier.result_["unsure"])


def test_finished_runs_are_kept_and_used_again(tiny_folders, tmp_path, fitted):
    first = make(tiny_folders, out=tmp_path).fit(TOYS.texts, TOYS.labels)
    lines = (tmp_path / "runs.jsonl").read_bytes()
    second = make(tiny_folders, out=tmp_path).fit(TOYS.texts, TOYS.labels)
    assert (tmp_path / "runs.jsonl").read_bytes() == lines
    assert without_times(first.result_) == without_times(second.result_) == without_times(fitted.result_)


def test_broken_unicode_is_answered(fitted):
    assert np.isfinite(fitted.predict_proba(["\ud800", "\x00", "🤷‍♀️"])).all()
