"""Exchanged phrases: the copied ones, in every place at once, of the same type, and no words of the task."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fewtune.augment.phrases import COMMON, FEWEST, PhraseExchange
from fewtune.data.base import Example, Message

NAMES = ("the golden lion", "blue spice", "zizzi", "wild wood", "fisherman's wharf", "J. P. Amber")
STREETS = ("12 mill lane", "40 sea road", "7 bank street", "125 old quay", "3 high street", "88 corn hill")


def row(name, street, number=0):
    prompt = f"inform(name='{name}';address='{street}')"
    return Example(prompt, completion=f"the address of {name} is {street} .", id=f"r{number}")


@pytest.fixture
def rows():
    return [row(name, street, number) for number, (name, street) in enumerate(zip(NAMES, STREETS, strict=True))]


@pytest.fixture
def exchange(rows):
    return PhraseExchange.fit(rows)


def named(example):
    found = re.fullmatch(r"inform\(name='(.*)';address='(.*)'\)", example.text)
    return found.groups()


def test_a_phrase_is_exchanged_in_prompt_and_completion_alike(rows, exchange):
    rng = np.random.default_rng(0)
    made = [exchange.vary(one, rng) for one in rows for _ in range(30)]
    assert len({one.text for one in made}) > 60
    for one in made:
        name, street = named(one)
        assert one.completion == f"the address of {name} is {street} ."


def test_types_are_kept_apart(rows, exchange):
    assert set(exchange.pools) == {"name=", "address="}
    words = {"name": set(" ".join(NAMES).split()), "address": set(" ".join(STREETS).split())}
    rng = np.random.default_rng(1)
    for one in rows:
        for _ in range(20):
            name, street = named(exchange.vary(one, rng))
            assert set(name.split()) <= words["name"]
            assert set(street.split()) <= words["address"]


def test_some_phrases_are_new_and_none_is_the_only_one(rows, exchange):
    rng = np.random.default_rng(2)
    drawn = [named(exchange.vary(rows[2], rng))[0] for _ in range(300)]
    new = [name for name in drawn if name not in NAMES]
    assert 0.05 < len(new) / len(drawn) < 0.5
    assert set(NAMES) - {"zizzi"} <= set(drawn)


def test_words_of_the_task_are_left_alone():
    """`address` stands in prompt and completion of each row, `restaurant` in completions whose prompts lack it."""
    texts = [row(name, street, number) for number, (name, street) in enumerate(zip(NAMES, STREETS, strict=True))]
    texts += [Example(f"inform(name='{name}';type=restaurant)", completion=f"{name} is a restaurant") for name in NAMES]
    texts += [
        Example(f"inform(name='{name}';type=bar)", completion=f"{name} is a restaurant and a bar") for name in NAMES
    ]
    exchange = PhraseExchange.fit(texts)
    assert "address" not in exchange.values
    assert "restaurant" not in exchange.values
    assert set(NAMES) <= exchange.values
    assert COMMON < 1 / 3


def test_what_follows_an_everyday_word_is_no_type():
    """`in` is followed by what the answer says again; `the` by that once in three."""
    towns = ("Rome", "Oslo", "Bonn", "Lyon", "Bath")
    texts = [Example(f"ask a caller in {town} about the price", completion=f"{town}: how much") for town in towns]
    exchange = PhraseExchange.fit(texts)
    assert set(exchange.pools) == {"in "}
    talk = [
        Example(f"the bus and the train of the {day} were late, says the {who}", completion=f"late on {day}")
        for day, who in (("Monday", "clerk"), ("Tuesday", "nurse"), ("Friday", "baker"), ("Sunday", "driver"))
    ]
    assert PhraseExchange.fit(talk).pools == {}


def test_the_name_of_a_field_is_no_value():
    texts = [
        Example(f"{one}: {two}; {three}=yes", completion=f"{one} is {two}, {three} is yes")
        for one, two, three in (("a1", "b1", "c1"), ("a2", "b2", "c2"), ("a3", "b3", "c3"), ("a4", "b4", "c4"))
    ]
    assert PhraseExchange.fit(texts).values == {"b1", "b2", "b3", "b4"}


def test_too_few_of_a_type_are_not_exchanged(rows):
    few = PhraseExchange.fit(rows[: FEWEST - 1])
    assert few.pools == {}
    assert not few.changes(rows[0])
    assert few.vary(rows[0], np.random.default_rng(0)) is rows[0]
    assert few.augment(rows, 5, seed=0) == []


def test_numbers_are_drawn_anew_with_as_many_digits():
    texts = [Example(f"phone={n}", completion=f"call {n}") for n in (41552, 41553, 91554, 71555, 31556)]
    exchange = PhraseExchange.fit(texts)
    rng = np.random.default_rng(0)
    drawn = {exchange.vary(texts[0], rng).completion.removeprefix("call ") for _ in range(60)}
    assert all(re.fullmatch(r"[1-9]\d{4}", number) for number in drawn)
    assert len(drawn) > 15


def test_a_phrase_inside_a_word_or_a_longer_phrase_stays():
    """`art` goes as a whole word; in `party` and inside `modern art hall` it is another thing."""
    texts = [
        Example(f"about={one}; at={two}", completion=f"a party about {one} at {two}")
        for one, two in (
            ("art", "modern art hall"),
            ("chess", "town hall"),
            ("wine", "old barn"),
            ("jazz", "pier nine"),
        )
    ]
    exchange = PhraseExchange.fit(texts)
    rng = np.random.default_rng(3)
    for _ in range(40):
        made = exchange.vary(texts[0], rng)
        one, two = re.fullmatch(r"about=(.*); at=(.*)", made.text).groups()
        assert made.completion == f"a party about {one} at {two}"


def test_every_turn_of_a_conversation_says_the_new_phrase():
    def talk(name):
        turns = (
            Message("user", f"my dog is called {name}"),
            Message("assistant", f"hello {name}"),
            Message("user", f"what is {name} like?"),
            Message("assistant", f"{name} is brave"),
        )
        return Example(turns[2].content, completion=turns[3].content, messages=turns)

    texts = [talk(name) for name in ("Rex", "Bella", "Milo", "Otto", "Fay")]
    exchange = PhraseExchange.fit(texts)
    made = exchange.vary(texts[0], np.random.default_rng(0))
    assert "Rex" not in " ".join([made.text, made.completion, *(turn.content for turn in made.messages)])
    assert made.messages[-1].content == made.completion
    assert made.messages[2].content == made.text
    name = made.completion.removesuffix(" is brave")
    assert made.messages[0].content == f"my dog is called {name}"


def test_rows_made_name_their_parent_and_differ(rows, exchange):
    made = exchange.augment(rows, 6, seed=4)
    assert made == exchange.augment(rows, 6, seed=4)
    assert {one.parent for one in made} == {one.id for one in rows}
    assert all(one.origin == "augmented" for one in made)
    assert len({one.id for one in made}) == len(made)
    assert len({(one.parent, one.text) for one in made}) == len(made)
    given = {one.id: one.text for one in rows}
    assert all(one.text != given[one.parent] for one in made)


def test_rows_without_an_answer_or_a_prompt_have_nothing_to_exchange():
    texts = [Example("", completion="a plain text"), Example("a prompt"), Example("?", completion="!")] * 3
    exchange = PhraseExchange.fit(texts)
    assert not any(map(exchange.changes, texts))
