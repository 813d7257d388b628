"""Whether texts and class shares of two parts are of one kind."""

from dataclasses import replace

import numpy as np
import pytest
from audit_worlds import World

from fewtune.audit import shift
from fewtune.audit.shift import Shift, tell_apart, telling_words


def alike(seed=0, train=150, pool=150):
    world = World(seed=seed)
    return (
        world,
        world.rows(train // 2, 0, "a") + world.rows(train // 2, 1, "b"),
        [
            *world.rows(pool // 2, 0),
            *world.rows(pool // 2, 1),
        ],
    )


@pytest.mark.parametrize("seed", range(12))
def test_random_halves_are_not_told_apart(seed):
    world, train, pool = alike(seed)
    ground = world.ground(train, unlabelled=pool)
    assert list(Shift().run(ground)) == []
    told = tell_apart(ground, "train", "unlabelled")
    assert told.low <= told.auc <= told.high


def test_the_interval_holds_one_half_about_as_often_as_it_says():
    held = 0
    for seed in range(25):
        world, train, pool = alike(seed, 80, 80)
        told = tell_apart(world.ground(train, unlabelled=pool), "train", "unlabelled")
        held += told.low <= 0.5 <= told.high
    assert held >= 21


def test_texts_of_another_kind_are_told_apart():
    world, train, pool = alike()
    (finding,) = Shift().run(world.ground(train, unlabelled=[*pool[:60], *world.rows(90, 5)]))
    assert finding.numbers["parts"] == ["train", "unlabelled"]
    assert finding.numbers["low"] >= 0.55
    assert finding.numbers["low"] < finding.numbers["auc"] < finding.numbers["high"] <= 1


def test_quite_other_texts_are_a_warning_and_their_interval_is_not_nothing():
    world, train, _ = alike()
    (finding,) = Shift().run(world.ground(train, unlabelled=world.rows(100, 7)))
    assert finding.severity == "warning"
    assert finding.numbers["auc"] > 0.99
    assert finding.numbers["low"] < 1


def test_copies_within_a_part_are_not_known_by_heart():
    world, train, pool = alike()
    assert list(Shift().run(world.ground(train, unlabelled=[*pool, *pool[:1] * 300]))) == []


def test_too_few_texts_tell_nothing():
    world, train, _ = alike()
    assert tell_apart(world.ground(train, unlabelled=world.rows(20, 7)), "train", "unlabelled") is None


def test_many_texts_are_sampled_with_the_seed(monkeypatch):
    world, train, pool = alike()
    monkeypatch.setattr(shift, "MOST", 60)
    ground = world.ground(train, unlabelled=pool)
    told = tell_apart(ground, "train", "unlabelled")
    assert told.rows == (60, 60)
    assert told == tell_apart(ground, "train", "unlabelled")
    assert told != tell_apart(replace(ground, seed=1), "train", "unlabelled")


def test_without_a_backbone_words_do():
    from audit_worlds import rows_of

    from fewtune.audit.base import Ground

    rng = np.random.default_rng(0)
    words = np.array(["parcel", "late", "courier", "refund", "money", "card", "app", "crash", "screen"])
    news = np.array(["minister", "vote", "election", "goal", "match", "league", "shares", "bank"])
    texts = [" ".join(rng.choice(words, 6)) + f" {n}" for n in range(120)]
    other = [" ".join(rng.choice(news, 6)) + f" {n}" for n in range(60)]
    train = rows_of([(text, "ab"[n % 2]) for n, text in enumerate(texts[:60])])
    same, unlike = (rows_of([(text, None) for text in some]) for some in (texts[60:], other))
    assert list(Shift().run(Ground(train, unlabelled=same))) == []
    (finding,) = Shift().run(Ground(train, unlabelled=unlike))
    assert {word["word"] for word in finding.numbers["words"]["unlabelled"]} <= set(news)
    assert "unlabelled texts more often say" in finding.reason


def test_words_are_counted_by_text_and_only_clear_ones_are_told():
    ones = ["Parcel parcel late"] * 30 + ["the app"] * 30
    others = ["refund the app"] * 60
    more_one, more_other = telling_words(ones, others)
    assert more_one == [
        {"word": "late", "in_one": 30, "in_other": 0},
        {"word": "parcel", "in_one": 30, "in_other": 0},
    ]
    assert [word["word"] for word in more_other] == ["refund", "app", "the"]
    assert telling_words(ones, ones) == ([], [])
    assert telling_words([], ["a"]) == ([], [])


def labelled(world, **sizes):
    return [row for kind, (label, size) in enumerate(sizes.items()) for row in world.rows(size, kind, label)]


def test_a_label_training_does_not_know_stands_in_the_way():
    world = World()
    ground = world.ground(labelled(world, a=20, b=20), test=[*labelled(world, a=10, b=10), *world.rows(2, 0, "c")])
    (finding,) = Shift().run(ground)
    assert finding.severity == "blocks"
    assert [(row.part, row.row, row.label) for row in finding.rows] == [("test", 21, "c"), ("test", 22, "c")]


def test_class_shares_that_differ():
    world = World()
    (finding,) = Shift().run(world.ground(labelled(world, a=100, b=100), test=labelled(world, a=20, b=5)))
    assert finding.what.startswith("Class shares differ between training and test: 30%")
    assert finding.numbers["p"] < 0.01


def test_class_shares_of_random_draws_do_not_differ(monkeypatch):
    monkeypatch.setattr(shift, "FEWEST", 10**9)  # texts are not asked
    spoken = 0
    for seed in range(40):
        rng = np.random.default_rng(seed)
        world = World()
        draws = rng.multinomial(100, [0.4, 0.3, 0.2, 0.1], size=2)
        sizes = [dict(zip("abcd", map(int, draw), strict=True)) for draw in draws]
        ground = world.ground(labelled(world, **sizes[0]), test=labelled(world, **sizes[1]))
        spoken += any("shares" in finding.what for finding in Shift().run(ground))
    assert spoken <= 2
