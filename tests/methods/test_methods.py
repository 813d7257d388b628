"""Every method keeps the contract. A new one is a line in `QUICK`."""

import dataclasses

import numpy as np
import pytest
from scipy import stats
from sklearn.linear_model import LogisticRegression

from fewtune.backbones.load import load_encoder
from fewtune.errors import BackboneDamaged, UsageError
from fewtune.methods.base import Material
from fewtune.methods.class_names import ODDS, are_words, informative, spoken, weight
from fewtune.methods.head import LinearHead, fit_head
from fewtune.methods.registry import NAMES, method_class
from fewtune.methods.self_training import align, sample_pool, surest
from fewtune.recipe import Recipe
from fewtune.testing.methods import MethodContract, fit
from fewtune.testing.toys import toy_dataset

# Settings under which a tiny backbone of random weights learns the toy rows in about a second.
QUICK = {
    "majority": {},
    "zero_shot": {},
    "probe": {},
    "self_training": {},
    "contrastive": {"steps": 25, "rate": 3e-3},
    "contrastive_pool": {"steps": 25, "rate": 3e-3},
    "lora": {"least_steps": 12, "epochs": 1.0, "rate": 5e-3},
    "top_layers": {"least_steps": 12, "epochs": 1.0, "rate": 1e-3},
    "full": {"least_steps": 12, "epochs": 1.0, "rate": 1e-3},
    "label_zero_shot": {},
    "label_few_shot": {"shots": 2, "choose": "tfidf"},
    "label_lora": {"least_steps": 16, "epochs": 1.0, "rate": 5e-3, "batch_size": 30, "alpha": 128},
    "prompt_tuning": {"least_steps": 12, "epochs": 1.0, "rate": 1e-2, "tokens": 5},
}


def quick(name):
    cls = method_class(name)
    known = {field.name for field in dataclasses.fields(cls)}
    return cls(**{key: value for key, value in QUICK[name].items() if key in known})


def test_every_method_is_under_contract():
    assert set(QUICK) == set(NAMES)


class TestMethods(MethodContract):
    @pytest.fixture(params=NAMES)
    def method(self, request):
        # A tiny writer of random weights cannot learn from a prompt.
        self.learns = request.param not in ("majority", "zero_shot", "label_zero_shot", "label_few_shot")
        if request.param in ("lora", "label_lora"):
            self.reload_tolerance = 1e-4
        return quick(request.param)

    @pytest.fixture
    def encoder(self, tiny_encoder):
        return tiny_encoder

    @pytest.fixture
    def language_model(self, tiny_writer):
        return tiny_writer


@pytest.mark.parametrize("architecture", ["albert", "deberta", "modernbert", "distilbert", "roberta"])
@pytest.mark.parametrize("name", ["lora", "top_layers", "contrastive", "prompt_tuning"])
class TestOtherArchitectures:
    """ALBERT has one layer for all depths, DeBERTa's return tuples: each is tuned, saved and opened all the same."""

    learns, reload_tolerance = True, 1e-4
    test_saved_and_pickled_it_answers_the_same = MethodContract.test_saved_and_pickled_it_answers_the_same
    material, language_model = MethodContract.material, MethodContract.language_model

    @pytest.fixture
    def method(self, name):
        return quick(name)

    @pytest.fixture
    def encoder(self, architecture, tiny_folders):
        return load_encoder(tiny_folders(architecture))


def test_zero_shot_reads_no_label(tiny_encoder):
    toys = toy_dataset(4)
    labels = np.asarray([0, 1, 2] * 4)
    material = Material(toys.texts, labels, toys.classes, tiny_encoder)
    other = dataclasses.replace(material, labels=labels[::-1].copy(), texts=toys.texts[::-1])
    zero_shot = quick("zero_shot")
    np.testing.assert_array_equal(
        zero_shot.fit(material).predict_proba(["dog"]), zero_shot.fit(other).predict_proba(["dog"])
    )


def test_zero_shot_is_the_softmax_of_scaled_cosines(tiny_encoder):
    toys = toy_dataset(4)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 4), toys.classes, tiny_encoder)
    found = method_class("zero_shot")(sharpness=3.0).fit(material).predict_proba(["the dog"])[0]
    cosines = tiny_encoder.embed(list(toys.classes)).astype(float) @ tiny_encoder.embed(["the dog"])[0].astype(float)
    np.testing.assert_allclose(found, np.exp(3 * cosines) / np.exp(3 * cosines).sum(), atol=1e-6)


def test_majority_counts_with_one_row_added_to_each_class():
    material = Material(["a"] * 4, np.asarray([0, 0, 0, 2]), ("x", "y", "z"), None)
    np.testing.assert_allclose(method_class("majority")().fit(material).predict_proba(["b"]), [[4 / 7, 1 / 7, 2 / 7]])


def test_a_class_the_head_never_saw_is_never_the_answer(tiny_encoder):
    toys = toy_dataset(8)
    keep = [row for row, label in enumerate(toys.labels) if label != "colours"]
    labels = np.asarray([toys.classes.index(toys.labels[row]) for row in keep])
    material = Material([toys.texts[row] for row in keep], labels, toys.classes, tiny_encoder)
    for name in ("probe", "lora"):
        method = dataclasses.replace(quick(name), **({"class_names": False} if name == "probe" else {}))
        if name == "lora":
            material = dataclasses.replace(material, classes=("1", "2", "3"))  # names that say nothing are not rows
        assert fit(method, material).predict_proba(["red blue"])[0, 1] < 1e-6


@pytest.mark.parametrize("name", ["colour_of_itRed", "Refund-NotShowing", "a.b/c|d:e"])
def test_names_as_a_person_says_them(name):
    said = spoken(name)
    assert said == said.lower()
    assert not set(said) & set("_-./|:")


def test_names_that_say_something():
    assert are_words(["refund", "late delivery"])
    for codes in (["1", "2"], ["label_0", "label_1"], ["refund", "3"], ["A", "B"], ["c1", "c2"], ["", "refund"]):
        assert not are_words(codes)


def test_a_name_fades_as_rows_grow():
    weights = [weight(rows, 4) for rows in (0, 4, 32, 64, 640)]
    assert weights[0] == weights[1] == weights[2] == 1.0
    assert weights[3] == pytest.approx(0.5)
    assert weights[4] == pytest.approx(0.05)


def hit(rows, classes, hits):
    """Similarities to names that point at the right class for so many of the rows."""
    labels = np.arange(rows) % classes
    guesses = np.where(np.arange(rows) < hits, labels, (labels + 1) % classes)
    return np.eye(classes)[guesses], labels


@pytest.mark.parametrize(
    ("rows", "classes", "fewest"), [(4, 2, 1), (16, 2, 8), (48, 6, 11), (32, 4, 10), (300, 13, 32), (5000, 2, 2571)]
)
def test_names_are_doubted_where_rows_speak_against_them(rows, classes, fewest):
    """With few rows that takes a rate below chance; with many, one clearly above it."""
    for hits in range(rows + 1) if rows < 1000 else (0, 2000, 2500, 2570, 2571, 3000, 5000):
        assert informative(*hit(rows, classes, hits)) == (hits >= fewest), hits


def test_names_are_weighed_by_the_odds():
    """The rule against the probabilities of scipy's distributions, summed over the rate."""
    for rows, classes, hits in ((16, 2, 7), (16, 2, 9), (48, 6, 10), (48, 6, 12), (40, 8, 6)):
        similarity, labels = hit(rows, classes, hits)
        guesses = np.bincount(similarity.argmax(1), minlength=classes) / rows
        chance = float(guesses @ np.bincount(labels, minlength=classes)) / rows
        rates = np.linspace(chance, 1, 200_001)
        odds = stats.binom.pmf(hits, rows, rates).mean() / stats.binom.pmf(hits, rows, chance)
        assert informative(similarity, labels) == (ODDS * odds > 1)


def test_names_that_all_point_at_the_only_class_say_nothing():
    assert not informative(np.eye(2)[[0, 0, 0]], np.asarray([0, 0, 0]))


def test_alignment_gives_classes_the_weight_of_their_labelled_rows():
    rng = np.random.default_rng(0)
    confidence, labels = rng.uniform(0.4, 1.0, 300), rng.choice(3, 300, p=[0.8, 0.1, 0.1])
    weights = align(confidence, labels, np.asarray([2.0, 3.0, 5.0]))
    mass = np.bincount(labels, weights=weights)
    np.testing.assert_allclose(mass / mass.sum(), [0.2, 0.3, 0.5])
    np.testing.assert_allclose(weights.sum(), confidence.sum())
    for label in range(3):
        ratio = weights[labels == label] / confidence[labels == label]
        np.testing.assert_allclose(ratio, ratio[0])


def test_the_surest_share_of_each_class_is_taken():
    probs = np.asarray([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.3, 0.7]])
    rows, labels, confidence = surest(probs, 0.5)
    assert rows.tolist() == [0, 2, 3]
    assert labels.tolist() == [0, 0, 1]
    assert confidence.tolist() == [0.9, 0.8, 0.7]
    assert sorted(surest(probs, 1.0)[0].tolist()) == [0, 1, 2, 3]


def test_the_pool_is_distinct_and_holds_no_training_text(tiny_encoder):
    toys = toy_dataset(4)
    pool = ["new one", toys.texts[0], "new one", "another"]
    material = Material(toys.texts, np.asarray([0, 1, 2] * 4), toys.classes, tiny_encoder, unlabelled=pool)
    assert sample_pool(material, 10) == ["new one", "another"]
    assert len(sample_pool(material, 1)) == 1


def test_self_training_without_a_pool_is_the_probe(tiny_encoder):
    toys = toy_dataset(8)
    material = Material(toys.texts, np.asarray([0, 1, 2] * 8), toys.classes, tiny_encoder)
    found = quick("self_training").fit(material)
    assert "supervised head kept" in found.notes[0]
    probe = dataclasses.replace(
        quick("probe"),
        strengths=quick("self_training").strengths,
        default_strength=quick("self_training").default_strength,
    )
    np.testing.assert_allclose(found.predict_proba(toys.texts), probe.fit(material).predict_proba(toys.texts))


@pytest.mark.parametrize("classes", [2, 3])
def test_the_head_is_scikit_learns(classes):
    rng = np.random.default_rng(0)
    labels = np.arange(30) % classes
    vectors = (rng.normal(size=(30, 5)) + np.eye(5)[labels]).astype(np.float32)
    weights = rng.uniform(0.5, 2.0, 30)
    head = fit_head(vectors, labels, classes, strength=2.0, weights_N=weights)
    model = LogisticRegression(C=2.0, max_iter=500, tol=1e-9)
    model.fit(vectors.astype(np.float64), labels, sample_weight=weights)
    np.testing.assert_allclose(head.predict_proba(vectors), model.predict_proba(vectors), atol=5e-4)


@pytest.mark.parametrize("content", [b"", b"\x00" * 40, None])
def test_a_damaged_head_is_named(tmp_path, content):
    path = tmp_path / "head.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BackboneDamaged, match="Fit again"):
        LinearHead.load(path)


def test_unknown_methods_and_settings():
    with pytest.raises(UsageError, match=r"no method called 'magic'.*probe"):
        method_class("magic")
    for plain in ({}, {"method": "probe", "settings": {"colour": 1}}, {"method": "magic"}, {"method": 3}):
        with pytest.raises(UsageError):
            Recipe.from_json(plain)


def test_a_contrastive_head_reads_the_frozen_encoder_beside_the_tuned_one(tiny_encoder, tmp_path):
    dataset = toy_dataset(6)
    labels = np.asarray([dataset.classes.index(row.label) for row in dataset.examples])
    material = Material(dataset.texts, labels, dataset.classes, tiny_encoder)
    both, alone = (fit(dataclasses.replace(quick("contrastive"), beside_frozen=beside), material) for beside in (1, 0))
    assert both.head.weight_CD.shape[1] == 3 * tiny_encoder.width
    assert alone.head.weight_CD.shape[1] == tiny_encoder.width
    read = np.concatenate([both.body.embed(dataset.texts).cpu().numpy(), tiny_encoder.features(dataset.texts)], axis=1)
    np.testing.assert_allclose(both.predict_proba(dataset.texts), both.head.predict_proba(read), atol=1e-6)
    for name, fitted in (("both", both), ("alone", alone)):
        (tmp_path / name).mkdir()
        fitted.save(tmp_path / name)
    assert (tmp_path / "both" / "frozen" / "model.safetensors").exists()
    assert not (tmp_path / "alone" / "frozen").exists()
    frozen = load_encoder(tmp_path / "both" / "frozen")
    np.testing.assert_allclose(frozen.features(dataset.texts), tiny_encoder.features(dataset.texts), atol=1e-6)
