"""Contrastive tuning draws texts towards the names of their classes, where names point at the right ones."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.special import log_softmax
from test_methods import quick

from fewtune.methods.base import Material
from fewtune.methods.contrastive import pair_loss
from fewtune.testing.toys import CLASSES, toy_dataset
from fewtune.tune.loop import train

METHOD = quick("contrastive")
OFF = dataclasses.replace(METHOD, name_pull=0.0)
DATA = toy_dataset(8)
LABELS = np.asarray([DATA.classes.index(row.label) for row in DATA.examples])
NAMES = tuple(
    " ".join(text for text, label in zip(DATA.texts, DATA.labels, strict=True) if label == name)[:150]
    for name in DATA.classes
)


def material(encoder, names=NAMES, rows=slice(None)):
    """A tiny encoder of random weights knows no meaning: names of many words of their class point at it."""
    return Material(DATA.texts[rows], LABELS[rows], DATA.classes, encoder, names=names, seed=1)


def nearness(fitted, encoder):
    """Mean cosine with the frozen embedding of the own class's name, less that with the others'."""
    vectors = fitted.body.embed(list(DATA.texts)).numpy()
    cosines = vectors @ encoder.embed(NAMES).T
    own = cosines[np.arange(len(LABELS)), LABELS]
    return float((own - (cosines.sum(1) - own) / (len(NAMES) - 1)).mean())


def test_texts_come_nearer_to_their_names(tiny_encoder):
    given = material(tiny_encoder)
    pulled, plain = train(dataclasses.replace(METHOD, name_pull=3.0), given), train(OFF, given)
    assert nearness(pulled, tiny_encoder) > 1.2 * nearness(plain, tiny_encoder)


def test_the_loss_is_pairs_and_cross_entropy(tiny_encoder):
    tunable = METHOD.build(material(tiny_encoder))
    tunable.train(False)
    rows = np.arange(0, 12)
    with torch.no_grad():
        vectors = tunable.body.embed([DATA.texts[row] for row in rows])
        loss = float(tunable.loss(rows))
    labels = LABELS[rows]
    same = torch.as_tensor(labels[:, None] == labels[None, :])
    pairs = float(pair_loss(vectors @ vectors.T, same, ~torch.eye(12, dtype=torch.bool)))
    logits = METHOD.name_sharpness * vectors.numpy() @ tiny_encoder.embed(NAMES).T
    assert tunable.pull == 1.0
    assert loss == pytest.approx(pairs - log_softmax(logits, axis=1)[np.arange(12), labels].mean(), abs=1e-3)


@pytest.mark.parametrize("names", [NAMES[1:] + NAMES[:1], ("same",) * len(NAMES)], ids=["of others", "all alike"])
def test_names_that_point_elsewhere_draw_nothing(tiny_encoder, names):
    given = material(tiny_encoder, names)
    assert METHOD.build(given).names_CD is None
    found = train(METHOD, given).predict_proba(DATA.texts)
    np.testing.assert_array_equal(found, train(OFF, given).predict_proba(DATA.texts))


def test_names_that_are_codes_draw_nothing(tiny_encoder):
    codes = tuple(f"class {number}" for number in range(len(CLASSES)))
    given = Material(DATA.texts, LABELS, codes[: len(DATA.classes)], tiny_encoder)
    assert METHOD.build(given).names_CD is None


def test_the_pull_fades_as_rows_grow(tiny_encoder):
    many = Material(DATA.texts * 8, np.tile(LABELS, 8), DATA.classes, tiny_encoder, names=NAMES)
    assert METHOD.build(many).pull == pytest.approx(1 / 8)
    assert METHOD.build(material(tiny_encoder, rows=slice(0, 9))).pull == 1.0


def test_what_is_watched_is_what_is_learned(tiny_encoder):
    """Held-out rows near the wrong names cost more than the same rows near the right ones."""
    tunable = METHOD.build(material(tiny_encoder))
    tunable.train(False)
    plain = OFF.build(material(tiny_encoder))
    plain.train(False)
    wrong = (LABELS[:9] + 1) % len(NAMES)
    right_gap = tunable.evaluation_loss(DATA.texts[:9], LABELS[:9]) - plain.evaluation_loss(DATA.texts[:9], LABELS[:9])
    wrong_gap = tunable.evaluation_loss(DATA.texts[:9], wrong) - plain.evaluation_loss(DATA.texts[:9], wrong)
    assert 0 < right_gap < wrong_gap
