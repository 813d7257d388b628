"""Rows to write: told by their columns, refused with file and row, kept together by prompt."""

import json

import pytest

from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import check_exchanges, check_rows, groups_to_write, prompt_key
from fewtune.data.read import read_to_fit
from fewtune.errors import DataError, FewtuneError, TaskError


@pytest.fixture
def put(tmp_path):
    def write(rows, name="rows.jsonl"):
        path = tmp_path / name
        path.write_text(rows if isinstance(rows, str) else "\n".join(map(json.dumps, rows)))
        return path

    return write


def turns(*roles):
    return {"messages": [{"role": role, "content": f"{role} {place}"} for place, role in enumerate(roles)]}


PAIRS = [{"prompt": f"say {place}", "completion": f"said {place}"} for place in range(6)]


@pytest.mark.parametrize(
    ("rows", "task"),
    [
        (PAIRS, "generation"),
        ([turns("user", "assistant")] * 4, "generation"),
        ([{"instruction": f"do {n}", "input": "", "output": f"done {n}"} for n in range(4)], "generation"),
        ([{"text": f"once upon {n}"} for n in range(4)], "language_modelling"),
        ([{"id": n, "text": f"once upon {n}"} for n in range(4)], "language_modelling"),
        ([{"text": f"good {n}", "label": "ab"[n % 2]} for n in range(4)], "classification"),
    ],
)
def test_columns_tell_the_task(put, rows, task):
    assert read_to_fit(put(rows)).task == task


def test_a_task_that_is_named_overrules(put):
    rows = [{"prompt": f"say {n}", "completion": "ab"[n % 2]} for n in range(6)]
    assert read_to_fit(put(rows), task="classification").classes == ("a", "b")
    rows = [{"text": f"good {n}", "label": "ab"[n % 2]} for n in range(4)]
    assert read_to_fit(put(rows), task="language_modelling").task == "language_modelling"
    found = read_to_fit(put(rows), task="generation", text="text", label="label")
    assert [example.completion for example in found] == ["a", "b", "a", "b"]


def test_it_is_said_what_the_rows_are_for(put):
    assert check_exchanges(read_to_fit(put(PAIRS)))[0].startswith("Task: generation.")
    plain = read_to_fit(put([{"text": f"once {n}"} for n in range(4)]))
    assert check_exchanges(plain)[0].startswith("Task: language modelling.")


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"prompt": "p", "completion": ""}, "completion is empty"),
        ({"prompt": "p", "completion": " \n"}, "completion is empty"),
    ],
)
def test_an_empty_completion_is_named_with_file_and_row(put, bad, said):
    path = put([*PAIRS, bad])
    with pytest.raises(DataError, match=f"{path}, row 7: .*{said}"):
        check_exchanges(read_to_fit(path))


@pytest.mark.parametrize(
    ("roles", "said"),
    [
        (("user", "user", "assistant"), "Turn 2 of user and assistant is the user's where the assistant's is due"),
        (("assistant", "user", "assistant"), "Turn 1 of user and assistant is the assistant's"),
        (("user", "assistant", "user"), "does not end with the assistant"),
        (("user", "system", "assistant"), "system's message stands after others"),
        (("user", "robot", "assistant"), "Turn 2 has the role 'robot'"),
    ],
)
def test_a_role_out_of_turn_is_named_with_its_row(put, roles, said):
    with pytest.raises(DataError, match=f"row 4: .*{said}"):
        check_exchanges(read_to_fit(put([turns("user", "assistant")] * 3 + [turns(*roles)])))


@pytest.mark.parametrize(
    "roles",
    [
        ("user", "assistant"),
        ("system", "user", "assistant"),
        ("system", "user", "assistant", "user", "assistant"),
        ("user", "assistant", "tool", "user", "assistant"),
    ],
)
def test_conversations_in_turn_are_let_through(put, roles):
    check_rows(read_to_fit(put([turns(*roles)] * 4)))


def test_too_few_rows_and_equal_completions(put):
    with pytest.raises(TaskError, match="3 rows are too few"):
        check_exchanges(read_to_fit(put(PAIRS[:3])))
    with pytest.raises(TaskError, match="All 4 completions are the same"):
        check_exchanges(read_to_fit(put([{"prompt": f"p {n}", "completion": "yes"} for n in range(4)])))


def test_completions_that_are_classes_are_said_to_be(put):
    rows = [{"prompt": f"p {n}", "completion": "ab"[n % 2]} for n in range(8)]
    assert any("--task classification" in note for note in check_exchanges(read_to_fit(put(rows))))


def test_rows_of_one_prompt_one_group_one_family_stay_together():
    rows = [
        Example("Say  A", id="1", completion="x"),
        Example("say a", id="2", completion="y"),
        Example("b", id="3", completion="x", group="g"),
        Example("c", id="4", completion="y", group="g"),
        Example("d", id="5", completion="x"),
        Example("e", id="6", completion="y", parent="5", origin="augmented"),
    ]
    found = groups_to_write(Dataset(tuple(rows), task="generation"))
    assert found[0] == found[1]
    assert found[2] == found[3]
    assert found[4] == found[5]
    assert len(set(found)) == 3


def test_a_prompt_is_all_that_was_said_before():
    from fewtune.data.base import Message

    said = [Message("user", "hello"), Message("assistant", "hi"), Message("user", "more"), Message("assistant", "no")]
    one = Example("more", completion="no", messages=tuple(said))
    assert prompt_key(one) != prompt_key(Example("more", completion="no"))


def test_no_such_task():
    from fewtune.cli.given import task_named

    assert task_named("LM") == task_named("language-modelling") == "language_modelling"
    assert task_named(None) is None
    with pytest.raises(FewtuneError, match="There is no task 'poetry'"):
        task_named("poetry")
