"""Marks that give a label away are found; words that mean what the class means are not held against it."""

import random

import pytest

from fewtune.audit.artefacts import Artefacts, is_strange
from fewtune.audit.base import Ground
from fewtune.data.base import Dataset, Example

CLASSES = ("late parcel", "broken", "refund")
WORDS = [f"{a}{b}{c}" for a in "bdfgklmn" for b in "aeiou" for c in "lnrst"]


def dataset(spoil=lambda text, label, rng: text, rows=40, seed=0):
    rng = random.Random(seed)
    made = []
    for label in CLASSES:
        for _ in range(rows):
            text = " ".join(rng.choices(WORDS, k=10)) + "."
            made.append(Example(spoil(text, label, rng), label, row=len(made) + 1, id=str(len(made) + 1)))
    return Dataset(tuple(made))


def found(spoil=lambda text, label, rng: text, **options):
    return list(Artefacts().run(Ground(dataset(spoil, **options))))


@pytest.mark.parametrize("seed", range(4))
def test_random_texts_say_nothing(seed):
    assert found(seed=seed) == []


def only(label, mark):
    """`mark` in front of every row of a class."""
    return lambda text, given, rng: f"{mark} {text}" if given == label else text


@pytest.mark.parametrize("mark", ["[URGENT]", "##billing##", "<b>", "bug:", "src=web", "broken", "xq7"])
def test_a_mark_on_all_rows_of_a_class_blocks(mark):
    (finding,) = found(only("broken", mark))
    assert finding.severity == "blocks"
    assert mark in finding.what
    assert "100 % of the rows of 'broken'" in finding.what
    assert len(finding.rows) == 40
    assert {row.label for row in finding.rows} == {"broken"}
    assert [mark["coverage"] for mark in finding.numbers["marks"]] == [1.0]


def test_a_mark_of_each_class_is_one_finding():
    (finding,) = found(lambda text, label, rng: f"{text} ##{label[:4]}##")
    assert "(and 2 more such marks, of 3 classes)" in finding.what
    assert len(finding.rows) == 120


def test_the_name_of_the_class_before_the_text():
    (finding,) = found(lambda text, label, rng: f"{label.title()} - {text}")
    assert finding.severity == "blocks"
    assert "the class's name 'late parcel' at the beginning" in {mark["mark"] for mark in finding.numbers["marks"]}


def test_a_mark_on_some_rows_warns():
    (finding,) = found(lambda text, label, rng: f"[x] {text}" if label == "broken" and rng.random() < 0.5 else text)
    assert finding.severity == "warning"


def test_a_mark_of_all_classes_tells_nothing():
    assert found(lambda text, label, rng: f"[mail] {text}" if rng.random() < 0.7 else text) == []


def amid(word, share):
    """`word` somewhere in most rows of "refund", as people write it."""

    def spoil(text, label, rng):
        words = text.split()
        words.insert(rng.randrange(1, 9), word)
        return " ".join(words) if label == "refund" and rng.random() < share else text

    return spoil


def test_a_word_of_the_class_is_no_artefact():
    assert found(amid("money", 0.7)) == []
    (finding,) = found(amid("money", 1.0))
    assert (finding.severity, finding.what) == (
        "note",
        "One word alone tells nearly all rows of a class: 'money' for 'refund'.",
    )


def test_copies_count_once():
    letter = "[promo] the same letter again and again to each and every one"
    made = list(dataset().examples) + [Example(letter, "refund", row=200 + n, id=f"c{n}") for n in range(60)]
    assert list(Artefacts().run(Ground(Dataset(tuple(made))))) == []


def test_form_that_parts_the_classes():
    (finding,) = found(lambda text, label, rng: text[:-1] + {"broken": "!", "refund": ""}.get(label, "."))
    assert finding.what.startswith("The form of the texts alone")
    (finding,) = found(lambda text, label, rng: {"broken": text.upper(), "refund": f" {text}"}.get(label, text))
    assert finding.severity == "blocks"


def test_strange_words():
    assert all(map(is_strange, ["[URGENT]", "##x##", "<br>", "a_b|c", "(*)", "id=4"]))
    assert not any(
        map(is_strange, ["refund", "don't", "(really)", "#happy", "@user", "https://a.b/c_d", "50%", "co-op"])
    )


def test_few_rows_or_one_class_say_nothing():
    assert found(only("broken", "[x]"), rows=2) == []
    assert list(Artefacts().run(Ground(dataset(only("broken", "[x]")).subset(range(40, 80))))) == []
