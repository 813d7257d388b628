"""Copies are found, unlike texts are not, and near pairs are those that comparing all pairs finds."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz.distance import OSA

from fewtune.audit.duplicates import conflicts, duplicate_clusters, families, groups_of, joined, overlap
from fewtune.audit.near import CHARACTERS_AN_EDIT, GRAM, LONGEST_POSTING, NEAR, SHORTEST, SHORTEST_TYPO
from fewtune.audit.spelling import normalise
from fewtune.data.base import Dataset, Example

LONG = "The parcel that I ordered three weeks ago has still not been delivered to my address in Leeds."


def sentences(count, seed=0, words=12, vocabulary=400):
    rng = random.Random(seed)
    made = ["".join(rng.choices("abcdefghijklmnoprstuvw", k=rng.randint(2, 9))) for _ in range(vocabulary)]
    return [" ".join(rng.choices(made, k=words)) for _ in range(count)]


def jaccard(one, other):
    one, other = ({text[i : i + GRAM] for i in range(len(text) - GRAM + 1)} for text in (one, other))
    return len(one & other) / len(one | other)


def test_clusters_join_exact_normalised_and_near_copies():
    texts = [LONG, "Something else entirely, about invoices", LONG, LONG.upper() + "!!", LONG.replace("three", "two")]
    assert duplicate_clusters(texts) == [0, 1, 0, 0, 0]


def test_short_texts_are_joined_only_when_they_normalise_alike():
    assert duplicate_clusters(["ok", "OK!", "ok ok", "okay", "", "  ", "?", "!", "😀", "😡", "don't", "dont"]) == (
        [0, 0, 1, 2, 3, 3, 4, 5, 6, 7, 8, 8]
    )


def test_normalise_keeps_what_carries_meaning():
    assert normalise("Ｆｕｌｌ  Width,\ttext!") == "full width text"
    assert normalise("$5 + 3.5") == "$5 + 3 5"
    assert normalise("?!") == "?!"


def test_near_pairs_are_those_that_comparing_all_pairs_finds():
    base = sentences(60, words=25)
    rng = random.Random(1)
    texts = list(base)
    for text in base:  # one to three words changed: on both sides of the threshold
        words = text.split()
        for place in rng.sample(range(len(words)), rng.randint(1, 3)):
            words[place] = words[place][::-1]
        texts.append(" ".join(words))
    clusters = duplicate_clusters(texts)
    pairs = [(i, j) for i in range(len(texts)) for j in range(i) if jaccard(texts[i], texts[j]) >= NEAR]
    assert 10 < len(pairs) < 60
    assert all(clusters[i] == clusters[j] for i, j in pairs)
    assert len(set(clusters)) == len(texts) - len(pairs)


def test_letters_of_one_template_stay_bounded_and_are_joined():
    template = "Dear customer, your order {} of last week has been shipped today and will reach you soon."
    texts = [template.format(f"{number:05d}") for number in range(3 * LONGEST_POSTING)]
    assert len(set(duplicate_clusters(texts))) == 1


def test_five_thousand_different_rows_stay_apart():
    texts = sentences(5000, words=20, vocabulary=5000)
    assert len(set(duplicate_clusters(texts))) == 5000


@given(st.lists(st.text(max_size=40), max_size=12))
def test_any_texts_have_clusters_numbered_by_first_appearance(texts):
    clusters = duplicate_clusters(texts)
    assert list(dict.fromkeys(clusters)) == list(range(len(set(clusters))))
    for one, text in enumerate(texts):
        assert clusters[texts.index(text)] == clusters[one]


def test_half_surrogates_do_not_stop_it():
    assert duplicate_clusters(["\ud800" * 30, "\ud800" * 30, "x" * 30]) == [0, 0, 1]


def test_overlap_names_the_closest_training_text_and_how():
    near = LONG.replace("three", "two")
    train = ["unrelated words about the weather today", near, LONG, "ok"]
    found = overlap(train, [LONG, LONG.lower(), LONG.replace("Leeds", "York"), "Ok.", "nothing like it", "okay"])
    assert [(pair.train, pair.test, pair.kind) for pair in found] == [
        (2, 0, "exact"),
        (2, 1, "normalised"),
        (2, 2, "near"),
        (3, 3, "normalised"),
    ]
    assert found[0].similarity == found[1].similarity == 1
    assert found[2].similarity == pytest.approx(
        jaccard(normalise(LONG), normalise(LONG.replace("Leeds", "York"))), abs=1e-3
    )


def test_overlap_of_nothing():
    assert overlap([], ["a"]) == overlap(["a"], []) == overlap([], []) == duplicate_clusters([]) == []


def test_conflicts_are_copies_under_different_labels():
    texts = [LONG, "fine", LONG.upper(), "Fine!", "bad"]
    found = conflicts(texts, ["late", "good", "lost", "good", "poor"])
    assert [(conflict.rows, conflict.labels) for conflict in found] == [((0, 2), ("late", "lost"))]
    assert conflicts(["a", "b"], ["x", "y"], clusters=[0, 0])[0].rows == (0, 1)


def test_shortest_leaves_room_for_the_prefix_filter():
    assert SHORTEST - GRAM + 1 > 5


def test_a_typo_or_two_make_a_near_copy_but_another_number_does_not():
    texts = [
        "where is my parcel",
        "where is my pracel",
        "where is my marcel now",
        "send 12 mugs please",
        "send 13 mugs please",
        "what is the reason my top up did not go through",
        "what is teh reason my top up did not go throgh",
    ]
    assert duplicate_clusters(texts) == [0, 0, 1, 2, 3, 4, 4]


def test_typos_are_those_that_comparing_all_pairs_finds():
    base = sentences(40, words=6) + sentences(40, seed=5, words=3)
    rng = random.Random(2)
    texts = list(base)
    for text in base:
        letters = list(text)
        for _ in range(rng.randint(1, 3)):
            place = rng.randrange(len(letters) - 1)
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
        texts.append("".join(letters))
    texts = [normalise(text) for text in texts]

    def near(one, other):
        shorter = min(len(one), len(other))
        allowed = 1 + shorter // CHARACTERS_AN_EDIT if shorter >= SHORTEST_TYPO else 0
        return OSA.distance(one, other) <= allowed or (shorter >= SHORTEST and jaccard(one, other) >= NEAR)

    clusters = duplicate_clusters(texts)
    pairs = [(i, j) for i in range(len(texts)) for j in range(i) if near(texts[i], texts[j])]
    assert len(pairs) > 30
    assert all(clusters[i] == clusters[j] for i, j in pairs)
    assert len(set(clusters)) == len(texts) - len(pairs)


def test_families_are_kept_together_also_without_their_first_member():
    rows = [("a", None), ("b", "a"), ("c", "b"), ("d", "elsewhere"), ("e", "elsewhere"), ("f", None)]
    texts = ["spring", "summer", "autumn", "winter", "monsoon", "harmattan"]
    examples = [Example(text, "x", id=id, parent=parent) for text, (id, parent) in zip(texts, rows, strict=True)]
    dataset = Dataset(tuple(examples))
    assert families(dataset) == ["a", "a", "a", "elsewhere", "elsewhere", "f"]
    assert groups_of(dataset) == [0, 0, 0, 1, 1, 2]


def test_a_circle_of_parents_ends():
    loop = Dataset((Example("one", "x", id="a", parent="b"), Example("two", "x", id="b", parent="a")))
    assert len(families(loop)) == 2


def test_joined_clusters_are_numbered_by_first_appearance():
    assert joined([0, 1, 2, 1, 3], [(4, 2), (0, 2)]) == [0, 1, 0, 1, 0]
    assert joined([], []) == []
