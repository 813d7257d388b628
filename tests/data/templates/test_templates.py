"""Templates: each layout to the letter, the value round trip, label words, the model's own chat template."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fewtune.data.base import Example, Message
from fewtune.data.templates import NAMES, PLAIN, Template, read_words
from fewtune.data.templates.words import check_words, given_words
from fewtune.errors import DataError, UsageError

ASKED = "Name the kind of complaint."
TEXT = st.text(max_size=20)
SMALL = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + SMALL


@pytest.fixture
def chatty(tiny_folders):
    """A tokenizer of one's own, so that its template can be changed."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny_folders("bert"))
    tokenizer.chat_template = SMALL
    return tokenizer


@pytest.mark.parametrize(
    ("layout", "prompt", "answer"),
    [
        ("plain", f"{ASKED}\n\nlate", "\nrefund"),
        ("instruction", f"Instruction: {ASKED}\nText: late\nAnswer:", " refund"),
        (
            "chatml",
            f"<|im_start|>system\n{ASKED}<|im_end|>\n<|im_start|>user\nlate<|im_end|>\n<|im_start|>assistant\n",
            "refund<|im_end|>\n",
        ),
        ("chat", f"<system>{ASKED}</s><user>late</s><assistant>", "refund</s>"),
    ],
)
def test_layouts_to_the_letter(layout, prompt, answer, chatty):
    template = Template(layout, instruction=ASKED)
    assert template.bind(chatty)("late") == prompt
    assert template.exchange(Example("late", "Refund"), chatty) == (prompt, answer)


def test_alpaca_with_and_without_input():
    both = Template("alpaca", instruction=ASKED).bind(None)("late")
    assert both.endswith(f"### Instruction:\n{ASKED}\n\n### Input:\nlate\n\n### Response:\n")
    alone = Template("alpaca").bind(None)("write a poem")
    assert alone.endswith("### Instruction:\nwrite a poem\n\n### Response:\n")
    assert "### Input" not in alone


@pytest.mark.parametrize("layout", NAMES)
def test_the_label_is_never_in_the_prompt(layout, chatty):
    template = Template(layout, instruction=ASKED, words=(("x9", "secret"),))
    prompt, answer = template.exchange(Example("late", "x9"), chatty)
    assert prompt == template.bind(chatty)("late")
    assert "secret" not in prompt
    assert "secret" in answer


@pytest.mark.parametrize("layout", NAMES)
def test_an_unlabelled_row_has_no_answer(layout, chatty):
    assert Template(layout).exchange(Example("late"), chatty)[1] == ""


def test_a_conversation_is_told_whole_but_for_its_last_answer():
    turns = (
        Message("user", "hi"),
        Message("assistant", "yes?"),
        Message("user", "late"),
        Message("assistant", "sorry"),
    )
    prompt, answer = Template("chatml").exchange(Example("late", completion="sorry", messages=turns), None)
    assert prompt.count("<|im_start|>") == 4
    assert "sorry" not in prompt
    assert answer == "sorry<|im_end|>\n"


def test_a_tokenizer_without_chat_template_is_said(tiny_encoder):
    with pytest.raises(UsageError, match=r"no chat template.*chatml"):
        Template("chat").bind(tiny_encoder.tokenizer)("late")


def test_a_template_that_knows_no_system_gets_it_in_the_users_turn(chatty):
    chatty.chat_template = NO_SYSTEM
    assert Template("chat", instruction=ASKED).bind(chatty)("late") == f"<user>{ASKED}\n\nlate</s><assistant>"


def test_a_template_that_refuses_everything_is_said(chatty):
    chatty.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(UsageError, match=r"refuses.*never"):
        Template("chat").bind(chatty)("late")


def test_the_prefix_stands_before_the_text():
    assert Template(prefix="query: ").bind(None)("late") == "query: late"


@given(st.sampled_from(NAMES), TEXT, TEXT, st.none() | TEXT, st.dictionaries(TEXT, TEXT))
def test_the_value_survives_json_and_the_hash_follows_the_content(layout, instruction, prefix, separator, words):
    template = Template(layout, instruction, prefix, separator).with_words(words)
    again = Template.from_json(json.loads(json.dumps(template.to_json())))
    assert again == template
    assert hash(again) == hash(template)
    assert again.hash == template.hash
    assert (template.hash == PLAIN.hash) == (template == PLAIN)


@pytest.mark.parametrize(
    "plain",
    [{"layout": "no"}, {"colour": "red"}, {"prefix": 3}, {"words": {"a": 1}}, {"words": [1]}, {"pattern": "no"}],
)
def test_what_is_no_template_is_refused(plain):
    with pytest.raises(UsageError):
        Template.from_json(plain)


def test_words_for_classes():
    template = Template(words=(("B", "late parcels"),), pattern="This is about {}.")
    assert template.words_of(("Card_lost", "B")) == ["card lost", "late parcels"]
    assert template.texts_of(("B",)) == ["This is about late parcels."]


@pytest.mark.parametrize(
    ("name", "content"),
    [("w.json", '{"a": "apples", "b": "bees, big"}'), ("w.csv", 'class,words\na,apples\nb,"bees, big"\n')],
)
def test_words_are_read(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_words(tmp_path / name) == {"a": "apples", "b": "bees, big"}


@pytest.mark.parametrize(
    ("name", "content"), [("w.json", "[1]"), ("w.json", "{"), ("w.csv", "a,b,c\n1,2,3\n"), ("w.json", '{"a": 1}')]
)
def test_what_holds_no_words_is_said(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match="class"):
        read_words(tmp_path / name)
    with pytest.raises(DataError, match="no such file"):
        read_words(tmp_path / "absent.json")


def test_words_of_a_class_that_is_not_there():
    check_words({"a": "x"}, ("a", "b"))
    with pytest.raises(UsageError, match="'c'"):
        check_words({"c": "x"}, ("a", "b"))


@pytest.mark.parametrize(
    ("told", "found"),
    [
        (None, {}),
        ({"a": "red"}, {"a": "red"}),
        ("a=the red one", {"a": "the red one"}),
        (["a = red", "b=1 = 2"], {"a": "red", "b": "1 = 2"}),
        (["FILE", "a=blue"], {"a": "blue", "b": "green"}),
    ],
)
def test_words_are_taken_as_a_mapping_a_file_or_one_by_one(told, found, tmp_path):
    path = tmp_path / "words=all.json"
    path.write_text('{"a": "red", "b": "green"}', encoding="utf-8")
    asked = [str(path) if one == "FILE" else one for one in told] if isinstance(told, list) else told
    assert given_words(asked) == found


@pytest.mark.parametrize("told", ["=red", "a=", " = "])
def test_words_without_a_class_or_a_class_without_words(told):
    with pytest.raises(UsageError, match="lacks the class or its words"):
        given_words(told)
