"""Which tokens are read and which count, token by token, for each template and kind of tokenizer."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example, Message
from fewtune.data.templates import NAMES, Template
from fewtune.errors import DataError
from fewtune.testing.tiny_writers import CHAT, MARKED_CHAT, TOKENIZERS, make_tiny_writer

KINDS = [name for name in TOKENIZERS if name != "t5_like"]
ASKED = "Say it."
TALK = (
    Message("user", "red"),
    Message("assistant", "one"),
    Message("user", "green"),
    Message("assistant", "two"),
)
UNTRIMMED = CHAT.replace("{{ m.content }}", "{{ m.content | trim }}")
NO_BEGINNING = "{% if messages|length == 1 %}{{ raise_exception('short') }}{% endif %}" + CHAT


def counted(model, encoded):
    """What counts, as tokens."""
    ids = [one for one, counts in zip(encoded.ids, encoded.counted, strict=True) if counts]
    return model.tokenizer.convert_ids_to_tokens(ids)


def uncounted(model, encoded):
    return [one for one, counts in zip(encoded.ids, encoded.counted, strict=True) if not counts]


def test_a_chat_turn_token_by_token(writer):
    model = writer("llama", "byte_level", CHAT)
    found = model.encode(Example("red", completion="cat dog"), Template("chat"))
    tokens = model.tokenizer.convert_ids_to_tokens(found.ids)
    assert tokens == ["<|user|>", "Ċ", "red", "<|end|>", "Ċ", "<|assistant|>", "Ċ", "cat", "Ġdog", "<|end|>"]
    assert found.counted == (False,) * 7 + (True,) * 3
    assert found.bytes == len("cat dog")


def test_plain_prompt_and_completion_token_by_token(writer):
    model = writer("llama", "byte_fallback")
    found = model.encode(Example("red 😀", completion="two"), Template("plain"))
    tokens = model.tokenizer.convert_ids_to_tokens(found.ids)
    assert tokens[0] == "<s>"
    assert tokens[-1] == "</s>"
    assert tokens[tokens.index("<0xF0>") :][:4] == ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>"]
    assert "".join(counted(model, found)) == "\ntwo</s>"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", NAMES)
@pytest.mark.parametrize(
    ("text", "completion"),
    [
        ("red", "one two"),
        ("", "one"),
        ("It 😀 is é", "Yes 😀!"),
        ("name[x]\n\n", "\n\none"),
        ("a ", " b"),
        ("a", "</b>"),
    ],
)
def test_what_is_not_counted_is_what_generation_reads(writer, kind, layout, text, completion):
    """And what counts is the answer and its end: joined they are the whole."""
    model = writer("llama", kind, CHAT)
    template = Template(layout, instruction=ASKED)
    example = Example(text, completion=completion)
    found, prompt = model.encode(example, template), model.encode_prompt(example, template)
    assert tuple(uncounted(model, found)) == prompt.ids
    assert found.ids[: len(prompt.ids)] == prompt.ids
    assert not any(found.counted[: len(prompt.ids)])
    assert all(found.counted[len(prompt.ids) :])
    assert found.counted_tokens >= 1
    if kind != "word_pieces":  # which has no way back from what it does not know
        said = model.tokenizer.decode(found.ids[len(prompt.ids) :], skip_special_tokens=False)
        assert completion.strip() in said


@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
@pytest.mark.parametrize("layout", NAMES)
@given(text=st.text(max_size=30), completion=st.text(min_size=1, max_size=30).filter(str.strip))
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_text_at_all(writer, kind, layout, text, completion):
    model = writer("llama", kind, CHAT)
    example = Example(
        text.encode("utf-8", "replace").decode(), completion=completion.encode("utf-8", "replace").decode()
    )
    found = model.encode(example, Template(layout), overlong="cut")
    prompt = model.encode_prompt(example, Template(layout))
    assert found.ids[: len(prompt.ids)] == prompt.ids
    assert found.counted == tuple(place >= len(prompt.ids) for place in range(len(found.ids)))


@pytest.mark.parametrize("template", [CHAT, MARKED_CHAT])
def test_every_answer_of_a_conversation_counts_with_its_end(writer, template):
    """By the template's own marks, and by rendering beginnings: token by token the same."""
    model = writer("llama", "byte_level", template)
    row = Example("green", completion="two", messages=TALK)
    found = model.encode(row, Template("chat"))
    assert counted(model, found) == ["one", "<|end|>", "two", "<|end|>"]
    tokens = model.tokenizer.convert_ids_to_tokens(found.ids)
    turn = ["<|user|>", "Ċ", "red", "<|end|>", "Ċ", "<|assistant|>", "Ċ", "one", "<|end|>", "Ċ"]
    assert tokens[: len(turn)] == turn
    assert found.bytes == 6
    last = model.encode(row, Template("chat"), turns="last")
    assert counted(model, last) == ["two", "<|end|>"]
    assert last.ids == found.ids


def test_marks_that_leave_the_end_outside_get_it(writer):
    bare = MARKED_CHAT.replace("<|end|>{% endgeneration %}", "{% endgeneration %}<|end|>")
    model = writer("llama", "byte_level", bare)
    found = model.encode(Example("green", completion="two", messages=TALK), Template("chat"))
    assert counted(model, found) == ["one", "<|end|>", "two", "<|end|>"]


def test_chatml_counts_every_answer_by_prefixes(writer):
    model = writer("llama", "byte_level")
    found = model.encode(Example("green", completion="two", messages=TALK), Template("chatml"))
    said = "".join(counted(model, found))
    assert said == "one<|im_end|>two<|im_end|>"
    assert found.all_turns


@pytest.mark.parametrize("template", [UNTRIMMED, NO_BEGINNING])
def test_where_beginnings_are_no_prefixes_the_last_answer_counts_and_it_is_said(writer, template):
    talk = (TALK[0], Message("assistant", " one "), *TALK[2:])
    model = writer("llama", "byte_level", template)
    found = model.encode(Example("green", completion="two", messages=talk), Template("chat"))
    if template == UNTRIMMED:
        assert counted(model, found) == ["two", "<|end|>"]
        assert not found.all_turns
        assert found.bytes == 3
    else:
        assert counted(model, found)[-2:] == ["two", "<|end|>"]


def test_plain_layout_cannot_tell_earlier_answers(writer):
    found = writer("llama", "byte_level").encode(Example("green", completion="two", messages=TALK), Template("plain"))
    assert not found.all_turns
    assert found.bytes == 3


def test_a_system_message_and_an_instruction_are_read_and_not_counted(writer):
    model = writer("llama", "byte_level", CHAT)
    talk = (Message("system", "Be brief"), *TALK)
    found = model.encode(Example("green", completion="two", messages=talk), Template("chat"))
    assert model.tokenizer.convert_ids_to_tokens(found.ids)[0] == "<|system|>"
    assert counted(model, found) == ["one", "<|end|>", "two", "<|end|>"]
    asked = model.encode(Example("red", completion="two"), Template("chat", instruction="Be brief"))
    assert model.tokenizer.convert_ids_to_tokens(asked.ids)[0] == "<|system|>"


def test_roles_a_template_refuses_are_said_with_the_row(writer):
    strict = "{% if messages[-1].role == 'tool' %}{{ raise_exception('roles must alternate') }}{% endif %}" + CHAT
    model = writer("llama", "byte_level", strict)
    talk = (Message("tool", "red"), Message("assistant", "one"))
    with pytest.raises(DataError, match=r"row 7.*roles must alternate.*chatml"):
        model.encode(Example("red", completion="one", messages=talk, row=7), Template("chat"))


def test_a_model_without_a_chat_template_gets_a_named_layout(writer):
    model = writer("llama", "byte_level")
    found = model.encode(Example("red", completion="one"), Template("chat"))
    assert found.ids == model.encode(Example("red", completion="one"), Template("instruction")).ids
    assert len(model.notes) == 1
    assert "no chat template" in model.notes[0]
    assert "'instruction'" in model.notes[0]


def test_plain_text_counts_all_of_it(writer):
    model = writer("llama", "byte_fallback")
    found = model.encode(Example("red green"))
    assert found.ids[0] == model.tokenizer.bos_token_id
    assert found.ids[-1] == model.tokenizer.eos_token_id
    assert found.counted == (False, *[True] * (len(found.ids) - 1))
    assert found.bytes == 9


def test_long_plain_text_becomes_windows_and_loses_nothing(writer):
    model = writer("llama", "byte_fallback", context=16)
    text = "The Mill serves Italian food. " * 9
    found = model.encode_all([Example(text, row=2)])
    whole = writer("llama", "byte_fallback").encode(Example(text))
    joined = [one for window in found for one, counts in zip(window.ids, window.counted, strict=True) if counts]
    assert joined == list(whole.ids[1:])
    assert all(len(window.ids) <= 16 and window.ids[0] == 1 for window in found)
    assert sum(window.bytes for window in found) == len(text)
    with pytest.raises(DataError, match=r"row 2.*text is \d+ tokens"):
        model.encode(Example(text, row=2))
    cut = model.encode(Example(text, row=2), overlong="cut")
    assert cut.ids == found[0].ids
    assert cut.lost == len(joined) - 15


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("layout", NAMES)
def test_a_long_prompt_is_cut_from_the_left_and_the_template_and_completion_stay(writer, kind, layout):
    model = writer("llama", kind, CHAT)
    template = Template(layout, instruction=ASKED)
    long = Example("red green blue " * 300 + "THE END", completion="one two", row=4)
    short = model.encode(Example("THE END", completion="one two"), template)
    found = model.encode(long, template)
    assert len(found.ids) <= model.context
    assert len(found.ids) > model.context - 30
    assert found.cut > 300
    assert found.lost == 0
    assert counted(model, found) == counted(model, short)
    # What stands before the text and after it is there still.
    assert found.ids[: 1 + len(model.lead)] == short.ids[: 1 + len(model.lead)] or layout == "plain"
    tail = found.counted.index(True)
    assert found.ids[tail - 2 : tail] == short.ids[short.counted.index(True) - 2 : short.counted.index(True)]


def test_of_a_long_conversation_the_oldest_turns_go_and_the_systems_stays(writer):
    model = writer("llama", "byte_level", CHAT, context=48)
    talk = (Message("system", "Be"), *[turn for _ in range(9) for turn in TALK])
    found = model.encode(Example("green", completion="two", messages=talk), Template("chat"))
    tokens = model.tokenizer.convert_ids_to_tokens(found.ids)
    assert tokens[0] == "<|system|>"
    assert tokens.count("<|system|>") == 1
    assert len(tokens) <= 48
    assert tokens[tokens.index("<|end|>") + 2] == "<|user|>"
    assert counted(model, found)[-2:] == ["two", "<|end|>"]
    assert found.bytes == 3 * tokens.count("<|assistant|>")
    assert found.cut > 0


def test_a_completion_that_does_not_fit(writer):
    model = writer("llama", "byte_level", CHAT, context=32)
    row = Example("red", completion="green " * 40, row=9)
    with pytest.raises(DataError, match=r"row 9: The completion is \d+ tokens.*context of 32.*Shorten it"):
        model.encode(row, Template("chat"))
    found = model.encode(row, Template("chat"), overlong="cut")
    assert len(found.ids) == 32
    assert found.lost > 0
    assert found.counted[-1]


@pytest.mark.parametrize("completion", ["", "  \n"])
def test_an_empty_completion_is_an_error_with_its_row(writer, completion):
    with pytest.raises(DataError, match=r"row 5: The completion is empty"):
        writer("llama").encode(Example("red", completion=completion, row=5))


def test_a_label_is_written_in_its_words(writer):
    model = writer("llama", "byte_level", CHAT)
    found = model.encode(Example("red", label="r"), Template("chat", words=(("r", "one"),)))
    assert counted(model, found) == ["one", "<|end|>"]


def test_seq2seq_reads_the_prompt_and_writes_the_bare_answer(writer):
    model = writer("t5")
    found = model.encode(Example("name[The Mill]", completion="The Mill", row=1), Template("instruction"))
    assert model.tokenizer.decode(found.ids) == "Instruction: ..." or found.ids[-1] == model.end_id
    assert model.tokenizer.decode(list(found.target)) == "The Mill</s>"
    assert not any(found.counted)
    assert found.counted_tokens == len(found.target)
    with pytest.raises(DataError, match="needs a completion"):
        model.encode(Example("name[The Mill]"))


def test_seq2seq_cuts_a_long_prompt_and_refuses_a_long_answer(writer):
    model = writer("t5", context=24)
    found = model.encode(Example("red green " * 60, completion="one"), Template("plain"))
    assert len(found.ids) <= 24
    assert found.cut > 0
    with pytest.raises(DataError, match="context of 24"):
        model.encode(Example("red", completion="one two " * 60), Template("plain"))
    assert len(model.encode(Example("red", completion="one two " * 60), Template("plain"), overlong="cut").target) == 24


def test_a_template_with_no_room_left_is_said(writer):
    model = writer("llama", "byte_level", context=24)
    with pytest.raises(DataError, match=r"row 3.*template alone is \d+ tokens"):
        model.encode_prompt(Example("red", row=3), Template("alpaca"), room=12)


@pytest.mark.parametrize("layout", NAMES)
@pytest.mark.parametrize("kind", ["byte_level", "byte_fallback"])
def test_control_tokens_in_a_persons_text_are_letters(writer, kind, layout):
    """`</s>` or `<|end|>` in a ticket ends nothing, wherever it stands; the template's own still do."""
    model = writer("llama", kind, CHAT)
    end = {"byte_level": "<|end|>", "byte_fallback": "</s>"}[kind]
    row = Example(f"{end}red{end} 😀", completion=f"one {end}{end} two")
    harmless = Example("red 😀", completion="one two")
    found, clean = model.encode(row, Template(layout)), model.encode(harmless, Template(layout))
    number = model.tokenizer.convert_tokens_to_ids(end)
    assert found.ids.count(number) == clean.ids.count(number)
    prompt = model.encode_prompt(row, Template(layout))
    assert found.ids[: len(prompt.ids)] == prompt.ids
    assert found.counted == tuple(place >= len(prompt.ids) for place in range(len(found.ids)))
    said = model.decode([one for one, counts in zip(found.ids, found.counted, strict=True) if counts])
    assert row.completion in said
    assert found.bytes == len(row.completion)


def test_control_tokens_in_conversations_plain_texts_and_seq2seq(writer):
    model = writer("llama", "byte_level", CHAT)
    talk = (Message("user", "a<|end|>b"), Message("assistant", "c<|end|>"), *TALK[2:])
    found = model.encode(Example("green", completion="two", messages=talk), Template("chat"))
    assert counted(model, found).count("<|end|>") == 2
    assert found.bytes == len("c<|end|>") + len("two")
    text = model.encode(Example("red <|end|> green"))
    assert model.tokenizer.convert_tokens_to_ids("<|end|>") not in text.ids
    assert model.decode(text.ids) == "red <|end|> green"
    t5 = writer("t5", "byte_level")
    pair = t5.encode(Example("red <|endoftext|>", completion="<|endoftext|> one"), Template("plain"))
    assert t5.end_id not in pair.ids[:-1]
    assert pair.target.count(t5.end_id) == 1


def test_the_separator_of_a_text_of_two_columns_stays_one(writer):
    model = writer("llama", "word_pieces")
    ids = model.encode_prompt(Example("red [SEP] green"), Template("plain")).ids
    assert ids.count(model.tokenizer.sep_token_id) == 1


def test_an_earlier_answer_without_words_is_not_learnt(tmp_path):
    """Such as one that only called a tool: it would teach the model to say nothing."""
    model = load_language_model(make_tiny_writer(tmp_path, "llama", chat_template=MARKED_CHAT), precision="float32")
    turns = [
        ("user", "one"),
        ("assistant", ""),
        ("tool", "two"),
        ("assistant", "red"),
        ("user", "x"),
        ("assistant", "y"),
    ]
    messages = tuple(Message(role, said) for role, said in turns)
    found = model.encode(Example("x", completion="y", messages=messages))
    counted = model.tokenizer.decode([token for token, one in zip(found.ids, found.counted, strict=True) if one])
    assert counted.replace(" ", "") == "red<|end|>y<|end|>"


def test_halves_of_characters_are_read_as_unknown_ones(writer):
    """A terminal gives them for bytes that are no text; tokenizers refuse them."""
    model = writer("llama", "byte_level")
    said = (Message("system", "\udcff"), Message("user", "a"), Message("assistant", "b\ud83d"))
    for example in (Example("a\ud83d", completion="b"), Example("a", completion="b", messages=said)):
        assert model.encode(example).counted_tokens > 0
        assert "\ufffd" in model.decode(model.encode(example).ids)
