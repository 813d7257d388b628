"""Where a head starts from, and how that is chosen inside the fold."""

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import log_softmax

from fewtune.methods.base import Material
from fewtune.methods.head import fit_head
from fewtune.methods.head_rows import DEFAULT_SCALE, HeadRows, HeadSettings, head_rows, settle
from fewtune.methods.probe import Probe
from fewtune.testing.toys import toy_dataset

WIDTH, CLASSES = 12, 3


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def made(rows, *, seed=0, noise=0.6, names="right"):
    """Rows scattered about three directions, and the directions themselves (or the next class's) as what names say."""
    rng = np.random.default_rng(seed)
    centres = unit(rng.normal(size=(CLASSES, WIDTH)))
    labels = np.arange(rows) % CLASSES
    vectors = unit(centres[labels] + noise * rng.normal(size=(rows, WIDTH)))
    said = centres if names == "right" else np.roll(centres, 1, axis=0)
    return HeadRows(vectors, labels, np.ones(rows), rows, said), vectors, labels


def material(labels):
    return Material(["x"] * len(labels), labels, ("a", "b", "c"), None)


def objective(weights, towards, vectors, labels, strength):
    """strength · Σ cross-entropy + ½ ‖weights − towards‖², intercepts free."""
    weight, bias = weights[:-CLASSES].reshape(CLASSES, WIDTH), weights[-CLASSES:]
    logs = log_softmax(vectors @ weight.T + bias, axis=1)
    return -strength * logs[np.arange(len(labels)), labels].sum() + 0.5 * ((weight - towards) ** 2).sum()


@pytest.mark.parametrize("strength", [0.3, 10.0])
def test_the_penalty_pulls_towards_what_is_given(strength):
    rows, vectors, labels = made(18)
    towards = 4 * rows.names_CD
    head = fit_head(vectors, labels, CLASSES, strength=strength, towards_CD=towards)
    start = np.zeros(CLASSES * (WIDTH + 1))
    given = (towards.astype(np.float64), vectors.astype(np.float64), labels, strength)
    best = minimize(objective, start, args=given, method="BFGS", options={"gtol": 1e-6, "maxiter": 2000})
    weight, bias = best.x[:-CLASSES].reshape(CLASSES, WIDTH), best.x[-CLASSES:]
    want = np.exp(log_softmax(vectors @ weight.T + bias, axis=1))
    np.testing.assert_allclose(head.predict_proba(vectors), want, atol=2e-3)


def test_with_next_to_no_strength_a_head_is_zero_shot_but_for_how_common_classes_are():
    rows, vectors, _ = made(30)
    head = HeadSettings(1e-6, 20.0).fit(rows, CLASSES)
    np.testing.assert_allclose(head.weight_CD, 20 * rows.names_CD, atol=1e-2)
    np.testing.assert_allclose(head.logits(vectors) - head.bias_C, 20 * vectors @ rows.names_CD.T, atol=2e-2)


def test_a_class_without_rows_is_never_the_answer_though_it_has_a_name():
    rows, vectors, labels = made(30)
    two = labels < 2
    rows = HeadRows(vectors[two], labels[two], np.ones(two.sum()), int(two.sum()), rows.names_CD)
    assert set(HeadSettings(10.0, 20.0).fit(rows, CLASSES).logits(vectors).argmax(1)) == {0, 1}


@pytest.mark.parametrize("seed", range(5))
def test_names_that_say_the_class_are_trusted_and_help(seed):
    rows, _, labels = made(12, seed=seed, noise=1.0)
    settings = settle(rows, material(labels), Probe())
    assert settings.name_scale > 0
    _, unseen, truth = made(600, seed=seed, noise=1.0)
    right = [
        (one.fit(rows, CLASSES).logits(unseen).argmax(1) == truth).mean()
        for one in (settings, HeadSettings(settings.strength))
    ]
    assert right[0] > right[1] + 0.02


@pytest.mark.parametrize("seed", range(5))
def test_names_that_mislead_are_not_trusted(seed):
    rows, _, labels = made(30, seed=seed, names="wrong")
    assert settle(rows, material(labels), Probe()).name_scale == 0


def test_the_default_stands_where_nothing_can_be_split():
    rows, _, labels = made(3)
    assert settle(rows, material(labels), Probe()) == HeadSettings(10.0, DEFAULT_SCALE)
    assert settle(rows, material(labels), Probe(name_scales=(0.0,))) == HeadSettings(10.0, 0.0)


def test_a_class_of_one_row_stops_nobody_from_choosing():
    rows, vectors, labels = made(31, noise=1.0)
    rare = labels.copy()
    rare[:] = np.where(np.arange(31) == 2, 2, labels % 2)
    rows = HeadRows(vectors, rare, np.ones(31), 31, rows.names_CD)
    seen = []
    fit = HeadSettings.fit

    def watched(self, rows, classes, index=None):
        seen.append(set(index))
        return fit(self, rows, classes, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeadSettings, "fit", watched)
        settle(rows, material(rare), Probe())
    assert seen, "candidates were compared"
    assert all(2 in index for index in seen), "the only row of its class is always learned from"


def test_another_strength_must_be_clearly_better():
    """On rows that a class cannot be read from, every strength is chance: the default stands."""
    rng = np.random.default_rng(0)
    vectors, labels = unit(rng.normal(size=(60, WIDTH))), rng.permutation(60) % CLASSES
    rows = HeadRows(vectors, labels, np.ones(60), 60)
    kept = [settle(rows, Material(["x"] * 60, labels, ("a", "b", "c"), None, seed=s), Probe()) for s in range(5)]
    weak = [one.strength for one in kept]
    assert max(weak) <= 10.0, "nothing is fitted harder than the default without reason"


def test_directions_give_the_cosine_of_embeddings(tiny_encoder):
    texts = toy_dataset(3).texts
    found = tiny_encoder.features(texts) @ tiny_encoder.directions(["dog", "red"]).T
    np.testing.assert_allclose(found, tiny_encoder.embed(texts) @ tiny_encoder.embed(["dog", "red"]).T, atol=1e-6)


def test_name_rows_and_name_directions_go_together(tiny_encoder):
    dataset = toy_dataset(6)
    labels = np.asarray([dataset.classes.index(row.label) for row in dataset.examples])
    rows = head_rows(
        Material(dataset.texts, labels, dataset.classes, tiny_encoder),
        tiny_encoder.features,
        class_names=False,
        read_names=tiny_encoder.directions,
    )
    assert rows.names_CD is None
    assert not rows.names_used


def test_no_group_stands_on_both_sides_of_an_inner_split():
    rows, vectors, labels = made(31, noise=1.0)
    rare = np.where(np.arange(31) == 2, 2, labels % 2)
    groups = [str(row // 3) for row in range(31)]
    rows = HeadRows(vectors, rare, np.ones(31), 31, rows.names_CD)
    given = Material(["x"] * 31, rare, ("a", "b", "c"), None, groups=groups)
    pairs = []
    fit = HeadSettings.fit

    def watched(self, rows, classes, index=None):
        left_out = set(range(31)) - set(index)
        pairs.append(({groups[row] for row in index}, {groups[row] for row in left_out if rare[row] != 2}))
        return fit(self, rows, classes, index)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HeadSettings, "fit", watched)
        settle(rows, given, Probe())
    assert pairs
    assert all(not learned & held_out for learned, held_out in pairs)


def test_a_single_strength_is_the_one():
    rows, _, labels = made(30)
    assert settle(rows, material(labels), Probe(strengths=(3.0,), name_scales=(2.0,))) == HeadSettings(3.0, 2.0)


def test_a_class_of_one_group_cannot_be_split_and_stops_nobody():
    rows, _, labels = made(30)
    groups = ["whole" if label == 2 else str(row) for row, label in enumerate(labels)]
    given = Material(["x"] * 30, labels, ("a", "b", "c"), None, groups=groups)
    assert settle(rows, given, Probe()).name_scale > 0
    two = Material(["x"] * 30, labels, ("a", "b", "c"), None, groups=[str(label) for label in labels])
    assert settle(rows, two, Probe()) == HeadSettings(10.0, DEFAULT_SCALE), "nothing can be split"
