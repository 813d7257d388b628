"""Rows to write that are not of the form of those about them: named with their row, never taken for something else."""

import json

import pytest

from fewtune.data.exchanges import check_exchanges
from fewtune.data.read import read, read_to_fit
from fewtune.errors import ColumnError, DataError

PROMPTS = [{"prompt": f"say {row}", "completion": f"it is {row}"} for row in range(6)]
CHATS = [
    {"messages": [{"role": "user", "content": f"q{row}"}, {"role": "assistant", "content": f"a{row}"}]}
    for row in range(6)
]
ALPACAS = [{"instruction": f"do {row}", "input": "", "output": f"done {row}"} for row in range(6)]


@pytest.fixture
def put(tmp_path):
    def write(rows):
        text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
        (tmp_path / "rows.jsonl").write_text(text, encoding="utf-8")
        return tmp_path / "rows.jsonl"

    return write


def changed(rows, row, **more):
    made = [dict(one) for one in rows]
    made[row - 1] = {key: value for key, value in {**made[row - 1], **more}.items() if value is not ...}
    return made


@pytest.mark.parametrize(
    ("rows", "row", "said"),
    [
        (changed(PROMPTS, 3, completion=...), 3, "Its 'completion' is missing or empty"),
        (changed(PROMPTS, 3, completion=None), 3, "Its 'completion' is missing or empty"),
        (changed(PROMPTS, 2, prompt=None), 2, "Its 'prompt' is missing or empty"),
        (changed(PROMPTS, 4, completion={"a": 1}), 4, "Its 'completion' is an object"),
        (changed(PROMPTS, 4, completion=["a", "b"]), 4, "Its 'prompt' and 'completion' are not both texts"),
        ([*PROMPTS, {"text": "alone"}], 7, "Its 'prompt' is missing or empty"),
        ([*PROMPTS[:4], *CHATS[:2]], 5, "another form (chat messages) than those about it (prompts and completions)"),
        ([*CHATS[:3], *ALPACAS[:3]], 4, "another form (Alpaca instructions) than those about it (chat messages)"),
        ([*CHATS, {"messages": []}], 7, "Its 'messages' holds no turns: a list of objects with role and content"),
        ([*CHATS, {"messages": "hello"}], 7, "Its 'messages' holds no turns"),
        ([*CHATS, {"messages": [{"role": "user"}]}], 7, "Its 'messages' holds no turns"),
        ([{"messages": ["hi", "ho"]}] * 4, 1, "Its 'messages' holds no turns"),
        (changed(ALPACAS, 5, output=...), 5, "Its 'output' is missing or empty"),
        (changed(CHATS, 2, messages=[{"role": "user", "content": {"a": 1}}]), 2, "A turn's 'content' is an object"),
        (['{"prompt": "a", "prompt": "b", "completion": "c"}', *PROMPTS], 1, "the key 'prompt' twice"),
    ],
)
def test_the_row_is_named(put, rows, row, said):
    with pytest.raises(DataError) as caught:
        read_to_fit(put(rows))
    assert caught.value.row == row
    assert said in str(caught.value)
    assert caught.value.remedy


def test_labels_make_classes_of_such_rows(put):
    rows = [{**row, "label": "ab"[place % 2]} for place, row in enumerate(changed(PROMPTS, 3, completion=None))]
    assert read_to_fit(put(rows)).task == "classification"
    assert (
        read_to_fit(put(changed(PROMPTS, 3, completion=None)), label="prompt", task="generation").task == "generation"
    )


def test_rows_to_answer_need_no_completion(put):
    assert len(read(put(changed(PROMPTS, 3, completion=None)), text="prompt", labelled=False)) == 6


def test_numbers_are_read_as_they_are_written(put):
    rows = [{"prompt": place, "completion": place / 2} for place in range(6)]
    dataset = read_to_fit(put(rows))
    assert dataset.task == "generation"
    assert [row.completion for row in dataset][:3] == ["0", "0.5", "1"]
    assert read_to_fit(put(changed(ALPACAS, 1, output=5))).examples[0].completion == "5"


def test_no_completion_and_no_turn_keeps_what_cannot_be_encoded(put):
    rows = [f'{{"prompt": "a\\ud83d {n}", "completion": "c\\ude00\\u0000 {n}"}}' for n in range(4)]
    for row in read_to_fit(put(rows)):
        assert "\x00" not in row.completion
        assert (row.prompt + row.completion).encode("utf-8")
    turns = '{"role": "user", "content": "\\ud83d"}, {"role": "assistant", "content": "x\\ude00 %d"}'
    system = '{"role": "system", "content": "s"}'
    for row in read_to_fit(put([f'{{"messages": [{system}, {turns % n}]}}' for n in range(4)])):
        assert "".join(turn.content for turn in row.messages).encode("utf-8")


def test_a_completion_of_nul_alone_is_empty(put):
    dataset = read_to_fit(put(changed(PROMPTS, 3, completion="\x00")))
    with pytest.raises(DataError, match="row 3: The completion is empty"):
        check_exchanges(dataset)


CALL = {"id": "1", "function": {"name": "look", "arguments": "{}"}}


def with_tool(row):
    return {
        "messages": [
            {"role": "User", "content": "how warm is it?"},
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "content": "42"},
            {"role": "Assistant", "content": f"{row} degrees"},
        ]
    }


def test_the_assistant_speaks_again_after_a_tool_and_calls_are_said_to_be_left_out(put):
    dataset = read_to_fit(put([with_tool(row) for row in range(4)]))
    check_exchanges(dataset)
    assert [turn.role for turn in dataset.examples[0].messages] == ["user", "assistant", "tool", "assistant"]
    assert "4 turns call tools: the calls are not read, only what is said." in dataset.notes


def test_a_tool_may_not_have_the_last_word(put):
    rows = [{"messages": with_tool(row)["messages"][:3]} for row in range(4)]
    with pytest.raises(DataError, match="does not end with the assistant"):
        check_exchanges(read_to_fit(put(rows)))


def test_pictures_are_said_to_be_left_out(put):
    parts = [{"type": "text", "text": "what is it?"}, {"type": "image_url", "image_url": {"url": "x"}}]
    turns = [{"role": "user", "content": parts}, {"role": "assistant", "content": "a dog"}]
    dataset = read_to_fit(put([{"messages": turns}] * 4))
    assert dataset.examples[0].prompt == "what is it?"
    assert "4 turns have parts that are no text, such as images: not read." in dataset.notes


@pytest.mark.parametrize("rows", [[{"text": "a"}] * 4, [{"text": "a", "label": "b"}] * 4])
def test_a_file_of_another_form_lacks_what_is_to_be_written(put, rows):
    with pytest.raises(ColumnError, match="No column holds what is to be written: none is called completion, output"):
        read_to_fit(put(rows), task="generation")
