"""What is written is read again as it was: by hypothesis, for every format and all that a row has."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from fewtune import Dataset, Example, read
from fewtune.data.base import Message
from fewtune.data.convert import ASPECTS, NAMES, TABLES, convert
from fewtune.data.formats import FORMATS
from fewtune.data.pairs import PAIR

ODD = [
    'say "no", please',
    "two\nlines",
    "a\r\nb",
    "🙂👩‍👩‍👧",
    "שלום, עולם",
    "مرحبا\u200f؟",
    "tab\there",
    "\u2028",
    "{}",
    "[1]",
    "null",
]
LETTERS = st.characters(exclude_categories=["Cs", "Cc"])  # a file full of control characters reads as binary
TEXTS = st.one_of(st.sampled_from(ODD), st.text(LETTERS, min_size=1, max_size=30)).filter(lambda text: text.strip())
NAMES_OF_CLASSES = st.one_of(st.sampled_from(["a,b", "c\nd", '"q"', "Ünï", "0", "-1", "1.0"]), TEXTS).map(str.strip)
CELLS = st.none() | TEXTS.map(str.strip)
GROUPS = st.none() | st.sampled_from(["g 1", "g,2", "Ω"])


@st.composite
def labelled(draw):
    classes = draw(st.lists(NAMES_OF_CLASSES, min_size=2, max_size=3, unique=True))
    rows = draw(st.integers(2, 6))
    ids = draw(st.lists(TEXTS.map(str.strip), min_size=rows, max_size=rows, unique=True))
    own_ids = draw(st.booleans())
    examples = []
    for row in range(rows):
        origin = draw(st.sampled_from(["given", "augmented"]))
        examples.append(
            Example(
                draw(TEXTS),
                draw(st.sampled_from(classes)),
                id=ids[row] if own_ids else str(row + 1),
                group=draw(GROUPS),
                origin=origin,
                parent=ids[0] if origin == "augmented" else None,
                row=row + 1,
                fields={"source": draw(CELLS)},
            )
        )
    return Dataset(tuple(examples))


@st.composite
def conversations(draw):
    examples = []
    for row in range(draw(st.integers(1, 4))):
        prompt, completion = draw(TEXTS), draw(TEXTS)
        before = draw(st.lists(st.tuples(TEXTS, TEXTS), max_size=2))
        turns = [Message("system", draw(TEXTS))] if draw(st.booleans()) else []
        for asked, said in before:
            turns += [Message("user", asked), Message("assistant", said)]
        messages = (*turns, Message("user", prompt), Message("assistant", completion)) if turns else ()
        examples.append(Example(prompt, id=str(row + 1), row=row + 1, completion=completion, messages=messages))
    return Dataset(tuple(examples), task="generation", text_column="prompt", label_column=None)


def written_and_read(dataset, name, **options):
    with tempfile.TemporaryDirectory() as folder:
        suffix = TABLES.get(name) or (FORMATS[name].suffix if name in FORMATS else "")
        done = convert(dataset, Path(folder) / f"rows{suffix}", to=name)
        return read(done.path, **options), done.lost


def others(example):
    """A group stays among the other columns, where checks look at it."""
    return {name: cell for name, cell in example.fields.items() if cell and name != "group"}


def same(before, after, aspects):
    for aspect in aspects:
        pick = others if aspect == "other columns" else ASPECTS[aspect]
        assert [pick(one) for one in after] == [pick(one) for one in before], aspect


LABELLED = ["texts", "labels", "ids", "groups", "origins and parents", "other columns"]
"""All that a labelled row has."""
PARTS = ["argilla", "label-studio", *TABLES, "hub"]
"""What keeps a text of two columns in two columns."""
PREFERRED = [name for name, kind in FORMATS.items() if kind.task == "preference"]
QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("name", [name for name, kind in FORMATS.items() if kind.task == "classification"])
@QUICK
@given(dataset=labelled())
def test_labelled_rows_survive_annotation_formats(name, dataset):
    assume(len(dataset.classes) > 1)
    group = "group" if any(example.group for example in dataset) else None
    again, lost = written_and_read(dataset, name, group=group, labelled=None)
    assert again.task == "classification"
    same(dataset, again, LABELLED)
    assert lost == ()


@pytest.mark.parametrize("name", [*TABLES, "hub"])
@QUICK
@given(dataset=labelled())
def test_labelled_rows_survive_tables(name, dataset):
    assume(len(dataset.classes) > 1)
    group = "group" if any(example.group for example in dataset) else None
    again, lost = written_and_read(dataset, name, text="text", label="label", group=group, labelled=None)
    same(dataset, again, LABELLED)
    assert lost == ()


@pytest.mark.parametrize("name", ["chat", "sharegpt"])
@QUICK
@given(dataset=conversations())
def test_conversations_survive_chats(name, dataset):
    again, lost = written_and_read(dataset, name)
    assert again.task == "generation"
    same(dataset, again, ["texts", "completions", "turns of conversations", "ids"])
    assert lost == ()


@QUICK
@given(dataset=conversations())
def test_alpaca_holds_turns_that_take_turns(dataset):
    again, lost = written_and_read(dataset, "alpaca")
    same(dataset, again, ["texts", "completions", "turns of conversations"])
    assert lost == ()


@pytest.mark.parametrize("name", ["completions", "jsonl", "parquet", "csv", "hub"])
@QUICK
@given(dataset=conversations())
def test_prompts_and_completions_survive_tables_and_what_is_lost_is_named(name, dataset):
    again, lost = written_and_read(dataset, name, task="generation")
    same(dataset, again, ["texts", "completions"])
    longer = sum(len(example.messages) > 0 for example in dataset)
    assert any("turns of conversations" in one and f"{longer} of" in one for one in lost) == (longer > 0)


@st.composite
def preferences(draw, single=False):
    """Distinct prompts, so that every pair of single answers finds itself again."""
    examples = []
    for row, one in enumerate(draw(conversations())):
        asked = f"{row}: {one.text}"
        turns = tuple(
            Message("user", asked) if turn.content == one.text and at == len(one.messages) - 2 else turn
            for at, turn in enumerate(one.messages)
        )
        worse = draw(TEXTS.filter(lambda text, other=one.completion: text.split() != other.split()))
        about = {"label": draw(st.sampled_from(["wanted", "unwanted"]))} if single else {"rejected": worse}
        examples.append(replace(one, text=asked, messages=turns, fields={"source": draw(CELLS)}, **about))
    label = "label" if single else None
    return Dataset(tuple(examples), task="preference", text_column="prompt", label_column=label)


SIDES = ["texts", "labels", "completions", "rejected answers", "turns of conversations", "other columns", "ids"]


@pytest.mark.parametrize("name", ["preferences", "preferences-chat", "preferences-whole"])
@QUICK
@given(dataset=preferences())
def test_pairs_survive_every_way_to_write_them(name, dataset):
    again, lost = written_and_read(dataset, name, labelled=None)
    assert again.task == "preference"
    same(dataset, again, SIDES)
    assert lost == ()


@QUICK
@given(dataset=preferences(single=True))
def test_single_answers_survive(dataset):
    again, lost = written_and_read(dataset, "kto", labelled=None)
    assert again.task == "preference"
    same(dataset, again, SIDES)
    assert lost == ()


@pytest.mark.parametrize("name", ["jsonl", "parquet", "csv", "hub"])
@pytest.mark.parametrize("single", [False, True], ids=["pairs", "single answers"])
@QUICK
@given(data=st.data())
def test_preferences_survive_tables_and_what_is_lost_is_named(name, single, data):
    dataset = data.draw(preferences(single=single))
    again, lost = written_and_read(dataset, name, labelled=None)
    assert again.task == "preference"
    same(dataset, again, ["texts", "labels", "completions", "rejected answers", "other columns"])
    longer = sum(len(example.messages) > 0 for example in dataset)
    assert any("turns of conversations" in one and f"{longer} of" in one for one in lost) == (longer > 0)


@pytest.mark.parametrize("name", [name for name in NAMES if name not in PREFERRED])
def test_texts_of_two_columns(name):
    rows = [Example(f"premise {n}{PAIR}hypothesis {n}", "ab"[n % 2], id=str(n + 1), row=n + 1) for n in range(4)]
    dataset = Dataset(tuple(rows), text_column="premise", pair_columns=("hypothesis",))
    options = {"text": "premise", "pair": "hypothesis", "label": "label"} if name in PARTS else {}
    again, _ = written_and_read(dataset, name, **options)
    assert [example.text for example in again] == [example.text for example in rows]


@pytest.mark.parametrize("name", ["parquet", "argilla", "label-studio"])
def test_a_column_that_happens_to_hold_the_same_as_the_parents_replaces_none(name):
    rows = [
        Example("one text", "a", id="x", row=1, fields={"source": None}),
        Example("another", "b", id="y", origin="augmented", parent="x", row=2, fields={"source": "x"}),
    ]
    again, lost = written_and_read(Dataset(tuple(rows)), name)
    assert lost == ()
    same(rows, again, ["origins and parents", "ids", "other columns"])
