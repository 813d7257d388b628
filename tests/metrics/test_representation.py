from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtune.errors import DataError
from fewtune.metrics.representation import Slot, parse, slots_of


def pairs(slots):
    return [(slot.name, *slot.wordings) for slot in slots]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inform(name=piperade;goodformeal=dinner)", [("name", "piperade"), ("goodformeal", "dinner")]),
        ("inform(name='red door cafe';food=thai)", [("name", "red door cafe"), ("food", "thai")]),
        ('inform(name="red; door"; food = thai )', [("name", "red; door"), ("food", "thai")]),
        ("goodbye()", []),
        ("?request(food)", [("food",)]),
        ("?select(kidsallowed='yes';kidsallowed='no')", [("kidsallowed", "yes"), ("kidsallowed", "no")]),
        (
            "?select(goodformeal=dont_care;goodformeal=dinner')",
            [("goodformeal", "dont_care"), ("goodformeal", "dinner")],
        ),
        ("inform(name=joe's bar;near='fisherman's wharf')", [("name", "joe's bar"), ("near", "fisherman's wharf")]),
        ("inform(name='bar (old)';food=thai)", [("name", "bar (old)"), ("food", "thai")]),
        ("inform(name=joe, food=thai)", [("name", "joe"), ("food", "thai")]),
        ("inform(name='a, b')", [("name", "a, b")]),
        ("inform(name=a|food=b)", [("name", "a"), ("food", "b")]),
        ("inform(near=)", [("near",)]),
        ("inform(name=a);request(phone)", [("name", "a"), ("phone",)]),
        ("inform(name=a) & request(phone)", [("name", "a"), ("phone",)]),
        ("name[The Punter], food[Indian], area[]", [("name", "The Punter"), ("food", "Indian"), ("area",)]),
        ("  inform(a=b)\n", [("a", "b")]),
    ],
)
def test_forms(text, expected):
    assert pairs(parse(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "how do I get to the airport",
        "",
        "see (below) for more",
        "what is f(x) when x = 2",
        "Summarise [this] please",
        "inform(name=a",
        "a=b",
    ],
)
def test_prose_is_no_representation(text):
    assert parse(text) is None


@given(st.text(max_size=60))
def test_no_text_breaks_the_parser(text):
    found = parse(text)
    assert found is None or all(isinstance(slot, Slot) for slot in found)


VALUE = (
    st.text(st.characters(whitelist_categories=("L", "N"), whitelist_characters=" -"), min_size=1, max_size=12)
    .map(str.strip)
    .filter(bool)
)


@given(st.lists(st.tuples(st.from_regex(r"[a-z]{1,8}", fullmatch=True), VALUE), min_size=1, max_size=5))
def test_what_is_written_is_read(slots):
    text = "inform(" + ";".join(f"{name}='{value}'" for name, value in slots) + ")"
    assert pairs(parse(text)) == slots


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ({"name": "Joe", "stars": 4, "open": True}, [("name", "Joe"), ("stars", "4"), ("open", "yes")]),
        ({"kids": ["kid friendly", "allows kids"], "food": None}, [("kids", "kid friendly", "allows kids"), ("food",)]),
        (["Joe", ["cheap", "low-priced"]], [("1", "Joe"), ("2", "cheap", "low-priced")]),
        ('{"name": "Joe"}', [("name", "Joe")]),
        ('["Joe"]', [("1", "Joe")]),
        ("inform(name=Joe)", [("name", "Joe")]),
        ("name=Joe's; food=thai", [("name", "Joe's"), ("food", "thai")]),
        (None, []),
        ("", []),
        ({}, []),
    ],
)
def test_a_column_of_slots(cell, expected):
    assert pairs(slots_of(cell)) == expected
    if isinstance(cell, dict | list):
        assert pairs(slots_of(json.dumps(cell))) == expected


@pytest.mark.parametrize("cell", [3.5, '{"name": ', "just prose", {"name": {"deep": 1}}, '"x"', {"a": [{}]}])
def test_a_cell_that_is_no_slots_is_named_with_its_row(cell):
    with pytest.raises(DataError, match=r"row 7: .* cannot be read as slots.*Write"):
        slots_of(cell, row=7)
