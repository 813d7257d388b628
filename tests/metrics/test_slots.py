from __future__ import annotations

import pytest

from fewtune.metrics.representation import Slot, parse, slots_of
from fewtune.metrics.slots import SlotCounter, sayable, slot_error, words_of


def count(representation, text, counter=None):
    slots = parse(representation)
    return (counter or SlotCounter.of([slots])).count(slots, text)


def test_by_hand():
    found = count("inform(name='red door cafe';food=thai;area=north)", "Red Door Cafe serves thai, thai and thai food")
    assert (found.slots, found.missing, found.repeated, found.added) == (3, ("area",), ("thai", "thai"), ())
    assert found.errors == 3


def test_the_rate_is_errors_over_all_slots():
    counts = [count("inform(a=x;b=y)", "x y"), count("inform(a=x)", "nothing"), count("goodbye()", "bye")]
    score = slot_error(counts)
    assert score.value() == pytest.approx(1 / 3)
    assert score.sums() == {"missing": 1, "repeated": 0, "added": 0, "slots": 3}
    assert not score.higher_is_better


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("Café Olé", "the cafe ole is nice"),
        ("fisherman's wharf", "near Fishermans Wharf."),
        ("4152828283", "call 4152828283!"),
        ("kid-friendly", "it is kid friendly"),
        ("hayes valley or noma", "in noma and hayes valley"),
        ("between 5 and 10 euro", "costs between 5 and 10 euro"),
        ("ÅNGSTRÖM", "angstrom"),
    ],
)
def test_values_are_found_in_other_dress(value, text):
    assert count(f'inform(x="{value}")', text).missing == ()


@pytest.mark.parametrize(
    ("value", "text"), [("thai", "thailand"), ("10 euro", "10 or 20 euro"), ("hayes valley or noma", "in noma")]
)
def test_parts_of_words_and_half_values_are_not_found(value, text):
    assert count(f"inform(x='{value}')", text).missing == ("x",)


def test_what_no_word_tells_is_not_counted():
    found = count("inform(kids=yes;smoking='no';food=dont_care;near=none;area=)", "whatever")
    assert (found.slots, found.errors) == (0, 0)
    assert sayable(Slot("x", ("dont_care",))) == ()


def test_wordings_make_yes_and_no_countable():
    slots = slots_of({"kids": ["allows kids", "kid friendly"], "name": "joe"})
    counter = SlotCounter.of([slots])
    assert counter.count(slots, "joe is kid-friendly").errors == 0
    assert counter.count(slots, "joe is nice").missing == ("kids",)


def test_longer_values_are_found_first():
    counter = SlotCounter.of([parse("inform(near=mission)"), parse("inform(near='mission bay')")] * 2)
    found = counter.count(parse("inform(near=mission)"), "it is near mission bay")
    assert (found.missing, found.added) == (("near",), ("mission bay",))


def test_a_value_of_two_slots_may_be_said_once_or_twice():
    representation = "inform(near=noma;area=noma)"
    assert count(representation, "in noma").errors == 0
    assert count(representation, "in noma near noma").errors == 0
    assert count(representation, "noma noma noma").repeated == ("noma",)


def test_a_value_of_another_row_is_made_up():
    rows = [parse("inform(name=joe;food=thai)"), parse("inform(name=ann;food=french)")]
    counter = SlotCounter.of(rows, [["joe serves thai"], ["ann serves french"]])
    assert counter.count(rows[0], "joe serves french thai").added == ("french",)


def test_plain_words_are_not_held_against_a_text():
    rows = [parse("inform(name=joe;type=restaurant)"), *[parse("inform(name=ann)")] * 3]
    references = [["joe is a restaurant"], *[["ann is a fine restaurant"]] * 3]
    assert SlotCounter.of(rows, references).count(rows[1], "ann is a restaurant").errors == 0
    assert words_of("restaurant") not in SlotCounter.of(rows, references).known
    # Where it is asked for, it still has to be said.
    assert SlotCounter.of(rows, references).count(rows[0], "joe").missing == ("type",)


def test_without_references_a_value_of_a_single_row_is_not_known():
    rows = [parse("inform(food=thai)"), parse("inform(food=french)"), parse("inform(food=french)")]
    counter = SlotCounter.of(rows)
    assert counter.count(rows[1], "french thai").added == ()
    assert counter.count(rows[0], "french thai").added == ("french",)


def test_what_other_rows_tell_can_come_from_the_training_file():
    counter = SlotCounter.of([parse("inform(food=korean)")], [["korean food"]])
    assert count("inform(food=thai)", "thai and korean food", counter).added == ("korean",)


def test_an_empty_text_misses_everything():
    found = count("inform(a=x;b=y)", "")
    assert (found.missing, found.repeated, found.added) == (("a", "b"), (), ())
    score = slot_error([found])
    assert score.value() == 1.0
    low_F, high_F = score.extremes(score.stats_NF[0])
    assert (low_F[0] / low_F[-1], high_F[0] / high_F[-1]) == (0.0, 1.0)
