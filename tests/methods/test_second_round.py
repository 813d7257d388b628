"""With unlabelled texts a tuned body is tuned again on those it is sure of."""

import dataclasses
import json

import numpy as np
import pytest
from test_methods import quick

from fewtune.methods import contrastive, contrastive_pool
from fewtune.methods.base import Material
from fewtune.methods.head_rows import HeadRows, HeadSettings
from fewtune.methods.self_training import SelfTraining, worse
from fewtune.testing.toys import toy_dataset
from fewtune.tune import checkpoint
from fewtune.tune.loop import train

METHOD = quick("contrastive_pool")
ONE_ROUND = quick("contrastive")
POOL = toy_dataset(30, seed=5)


def labels_of(dataset):
    return np.asarray([dataset.classes.index(row.label) for row in dataset.examples])


@pytest.fixture
def material(tiny_encoder):
    toys = toy_dataset(4)
    # Names of many words of their class: to random weights a single word means nothing.
    names = tuple(
        " ".join(text for text, label in zip(POOL.texts, POOL.labels, strict=True) if label == name)[:150]
        for name in POOL.classes
    )
    return Material(toys.texts, labels_of(toys), toys.classes, tiny_encoder, names=names, unlabelled=POOL.texts, seed=2)


@pytest.fixture
def seen(monkeypatch):
    """The materials that a body was built for, and the labels of each batch."""
    materials, batches = [], []
    build = contrastive.Contrastive.build

    def spied(method, material):
        materials.append(material)
        tunable = build(method, material)
        loss = tunable.loss
        tunable.loss = lambda rows: (batches.append([tunable.texts[row] for row in rows]), loss(rows))[1]
        return tunable

    monkeypatch.setattr(contrastive.Contrastive, "build", spied)
    return materials, batches


def test_the_surest_of_the_pool_are_learned_from_and_the_head_is_of_labelled_texts_alone(material, seen, monkeypatch):
    heads = []
    fit = HeadSettings.fit
    monkeypatch.setattr(HeadSettings, "fit", lambda own, rows, *more: (heads.append(rows), fit(own, rows, *more))[1])
    fitted = train(METHOD, material)
    (first, second), batches = seen
    assert first.pseudo is None
    assert second.unlabelled == ()
    assert second.texts == material.texts
    taken = second.pseudo
    assert set(taken.texts) <= set(POOL.texts) - set(material.texts)
    assert len(set(taken.texts)) == len(taken.texts) == len(taken.labels)
    distinct = len(set(POOL.texts) - set(material.texts))
    assert METHOD.final_share <= len(taken.texts) / distinct < METHOD.final_share + 3 / distinct
    truth = dict(zip(POOL.texts, labels_of(POOL), strict=True))
    assert np.mean([truth[text] == label for text, label in zip(*dataclasses.astuple(taken), strict=True)]) > 0.9
    steps = METHOD.total_steps(first)
    assert not set().union(*batches[:steps]) & set(POOL.texts) - set(material.texts)
    assert set().union(*batches[steps:]) & set(taken.texts)
    assert heads[-1].given == len(material.texts)
    assert fitted.notes == ("tuned again with the unlabelled texts that it was surest of",)


def test_the_second_round_starts_from_the_backbone(material, seen):
    """Its body is the one that its material alone gives: nothing of the first round's weights is left."""
    fitted = train(METHOD, material)
    second = seen[0][1]
    np.testing.assert_array_equal(fitted.predict_proba(POOL.texts), train(METHOD, second).predict_proba(POOL.texts))


def test_without_a_pool_there_is_one_round(material, seen):
    fitted = train(METHOD, dataclasses.replace(material, unlabelled=material.texts))
    assert len(seen[0]) == 1
    assert fitted.notes == ("no unlabelled text to learn from, no second round",)


def test_the_guard_leaves_the_first_round_as_it_was(material, seen, monkeypatch):
    monkeypatch.setattr(contrastive_pool, "worse", lambda *of: True)
    fitted = train(METHOD, material)
    assert len(seen[0]) == 1
    assert "guard" in fitted.notes[0]
    alone = train(ONE_ROUND, material)
    np.testing.assert_array_equal(fitted.predict_proba(POOL.texts), alone.predict_proba(POOL.texts))


@pytest.mark.parametrize("steps", [3, 26, 40])
def test_an_interrupted_second_round_goes_on(material, seen, steps, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    path = tmp_path / "partial" / "run.safetensors"
    whole = train(METHOD, material)
    taken = []

    def killed():
        taken.append(1)
        if len(taken) == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(METHOD, material, tick=killed, checkpoint=path)
    kept = list(path.parent.glob("*.json"))
    assert len(kept) == (steps > METHOD.total_steps(material))
    seen[0].clear()
    resumed = train(METHOD, material, tick=lambda: taken.append(1), checkpoint=path)
    assert len(seen[0]) == 2 - len(kept), "a finished round is not gone through again"
    np.testing.assert_array_equal(resumed.predict_proba(POOL.texts), whole.predict_proba(POOL.texts))
    assert resumed.log == whole.log
    assert not list(path.parent.iterdir()), "nothing is left behind"


@pytest.mark.parametrize("content", ["", "{", "[]", json.dumps({"texts": ["a"]})])
def test_a_damaged_file_of_pseudo_labels_is_made_anew(material, seen, content, tmp_path):
    (tmp_path / "run-second.json").write_text(content)
    train(METHOD, material, checkpoint=tmp_path / "run.safetensors")
    assert len(seen[0]) == 2
    assert not list(tmp_path.iterdir())


def clusters(rng, rows, *, apart):
    """Two classes told apart a little by the first number; the second, a far greater one, says `apart` of them."""
    labels = np.arange(rows) % 2
    other = np.where(rng.random(rows) < apart, labels, 1 - labels)
    vectors = np.stack([labels * 2.0 - 1.0, (other * 2.0 - 1.0) * 6.0], axis=1) + rng.normal(size=(rows, 2)) * 0.6
    return vectors.astype(np.float32), labels


@pytest.mark.parametrize(("misleading", "found"), [(True, True), (False, False)])
def test_the_guard_sees_a_pool_that_misleads(misleading, found):
    """Labelled rows say that the great number means nothing; in the pool that misleads it goes with the wrong class."""
    rng = np.random.default_rng(0)
    vectors, labels = clusters(rng, 60, apart=0.5)
    pool, _ = clusters(rng, 400, apart=0.5)
    if misleading:
        pool[:, 0] = rng.normal(size=400) * 0.1 + np.sign(pool[:, 1])
    rows = HeadRows(vectors, labels, np.ones(60), 60)
    material = Material([str(row) for row in range(60)], labels, ("a", "b"), None)
    assert worse(SelfTraining(labelled_weight=0.1), rows, pool, material, HeadSettings(1.0)) == found
