"""The solver under every head: scikit-learn's optimum, whatever was fitted before, in every shape of rows."""

import warnings

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from fewtune.methods import logistic
from fewtune.methods.head import fit_head

SHAPES = {
    "many rows": (300, 20, 5),
    "fewer rows than features": (40, 96, 4),
    "two classes": (80, 24, 2),
    "many classes": (240, 32, 40),
}


def rows_of(rows, width, classes, *, seed=0, noise=0.6):
    """Unit vectors around a centre a class, and a direction all of them share, as embeddings have."""
    rng = np.random.default_rng(seed)
    labels = np.arange(rows) % classes
    vectors = rng.normal(size=(classes, width))[labels] + noise * rng.normal(size=(rows, width)) * 2 + 1.5
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), labels


def by_scikit_learn(vectors, labels, strength, weights=None):
    """Its probabilities, converged far beyond its default."""
    model = LogisticRegression(C=strength, max_iter=20_000, tol=1e-9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(vectors.astype(np.float64), labels, sample_weight=weights)
    return model.predict_proba(vectors.astype(np.float64))


@pytest.mark.parametrize("strength", [0.1, 0.3, 1.0, 7.0, 10.0, 55.0, 100.0])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_it_is_the_logistic_regression_of_scikit_learn(shape, strength):
    vectors, labels = rows_of(*shape)
    found = fit_head(vectors, labels, shape[-1], strength=strength).predict_proba(vectors)
    assert np.abs(found - by_scikit_learn(vectors, labels, strength)).max() < 5e-3


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_weights_count_rows(shape):
    """A row of weight 2 is a row that stands there twice; one of weight 0 is not there."""
    vectors, labels = rows_of(*shape)
    weights = np.random.default_rng(1).integers(1, 3, len(labels)).astype(float)
    weights[-1] = 0
    twice = np.repeat(np.arange(len(labels)), weights.astype(int))
    found = fit_head(vectors, labels, shape[-1], strength=5.0, weights_N=weights).predict_proba(vectors)
    written_out = fit_head(vectors[twice], labels[twice], shape[-1], strength=5.0).predict_proba(vectors)
    assert np.abs(found - written_out).max() < 5e-3
    assert np.abs(found - by_scikit_learn(vectors, labels, 5.0, weights)).max() < 5e-3


def test_a_sweep_gives_each_setting_the_bits_it_has_alone():
    """The turning of the rows is kept between fits; what it gives must not depend on that."""
    settings = [(seed, strength, name) for seed in (0, 1) for strength in (0.1, 3.0, 50.0) for name in (0.2, 1.0)]
    vectors = {seed: rows_of(60, 32, 6, seed=seed) for seed in (0, 1)}

    def head(seed, strength, name):
        rows, labels = vectors[seed]
        weights = np.append(np.ones(54), np.full(6, name))
        return fit_head(rows, labels, 6, strength=strength, weights_N=weights)

    swept = {setting: head(*setting) for setting in settings}
    for setting in reversed(settings):
        logistic._kept.clear()
        alone = head(*setting)
        assert np.array_equal(alone.weight_CD, swept[setting].weight_CD)
        assert np.array_equal(alone.bias_C, swept[setting].bias_C)


def evaluations(monkeypatch, fit):
    """How often a fit asks for the loss and its gradient."""
    asked = []
    own = logistic._Problem._loss_and_gradient
    monkeypatch.setattr(logistic._Problem, "_loss_and_gradient", lambda *given: (asked.append(1), own(*given))[1])
    fit()
    monkeypatch.undo()
    return len(asked)


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_sweep_over_strengths_takes_fewer_steps_than_its_fits_from_nothing(shape, monkeypatch):
    vectors, labels = rows_of(*shape)
    settings = [(strength, weight) for weight in (0.3, 0.6, 1.0) for strength in np.logspace(0.1, 1.9, 12)]
    codes, turned = labels.astype(np.int64), logistic.turn(vectors)
    turned.landmarks.clear()

    def weighted(weight):
        return np.where(np.arange(len(labels)) < shape[-1], weight, 1.0)

    swept = evaluations(
        monkeypatch,
        lambda: [fit_head(vectors, labels, shape[-1], strength=s, weights_N=weighted(w)) for s, w in settings],
    )
    each = evaluations(
        monkeypatch, lambda: [logistic._Problem(turned, codes, weighted(w), s).from_nothing() for s, w in settings]
    )
    assert swept < 0.75 * each  # that of the landmarks among them
    assert sorted(power for _, power in turned.landmarks) == [0, 1, 2]


def test_other_labels_on_the_same_rows_have_landmarks_of_their_own():
    vectors, labels = rows_of(60, 24, 4)
    fit_head(vectors, labels, 4, strength=3.0)
    other = fit_head(vectors, labels[::-1].copy(), 4, strength=3.0).predict_proba(vectors)
    assert np.abs(other - by_scikit_learn(vectors, labels[::-1], 3.0)).max() < 5e-3


def test_rows_changed_in_place_are_other_rows():
    vectors, labels = rows_of(40, 16, 4)
    before = fit_head(vectors, labels, 4, strength=1.0)
    vectors *= -1
    after = fit_head(vectors, labels, 4, strength=1.0)
    assert not np.array_equal(before.weight_CD, after.weight_CD)


@pytest.mark.parametrize("strength", [100.0, 33.0])
@pytest.mark.parametrize("rows", ["equal", "of zeros", "one a class", "of length 1000"])
def test_rows_that_hold_little_give_a_usable_head(rows, strength):
    vectors, labels = rows_of(30, 16, 3)
    if rows == "equal":
        vectors[:] = vectors[0]
    elif rows == "of zeros":
        vectors[:] = 0
    elif rows == "one a class":
        vectors, labels = vectors[:3], labels[:3]
    else:
        vectors = vectors * 1000
    probs = fit_head(vectors, labels, 3, strength=strength).predict_proba(vectors)
    assert np.isfinite(probs).all()
    assert probs.sum(1) == pytest.approx(1)
    if rows in ("equal", "of zeros"):
        assert probs == pytest.approx(1 / 3, abs=1e-3)
    else:
        assert (probs.argmax(1) == labels).mean() > 0.9


def test_a_class_without_rows_is_never_predicted():
    vectors, labels = rows_of(30, 16, 3)
    probs = fit_head(vectors, labels * 2, 7, strength=1.0).predict_proba(vectors)
    assert probs[:, [1, 3, 5, 6]].max() < 1e-9


def test_the_weight_of_class_names_can_be_set(tiny_encoder):
    """Far heavier names pull the head to where the names are; None is the rule."""
    from fewtune.data.splits import repeated_folds
    from fewtune.methods.class_names import weight
    from fewtune.methods.probe import Probe
    from fewtune.recipe import Recipe
    from fewtune.testing.toys import toy_dataset
    from fewtune.tune.run import Context, Run, carry_out

    context = Context(toy_dataset(8), {"default": tiny_encoder})
    split = repeated_folds(context.labels.tolist(), folds=4, seed=0)[0]

    def probs(name_weight):
        method = Probe(strengths=(10.0,), name_weight=name_weight)
        return carry_out(Run(Recipe(method), split.train, split.test, 0), context).probs

    rule = weight(len(split.train), 3)
    assert np.array_equal(probs(None), probs(rule))
    if "with class names" in carry_out(Run(Recipe(Probe()), split.train, split.test, 0), context).notes[0]:
        assert not np.array_equal(probs(None), probs(5.0))
