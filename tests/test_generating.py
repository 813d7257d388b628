"""What the commands call: a conversation remembers, forgets what does not fit, keeps what was given."""

import pytest

from fewtune.backbones.decoding.settings import Decoding
from fewtune.data.base import Example, Message
from fewtune.errors import BackboneMissing, UsageError
from fewtune.generating import Chat, choose, generate, generate_stream, open_model
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writers") / "gpt2", "gpt2", chat_template=CHAT)


@pytest.fixture(scope="module")
def opened(folder):
    return open_model(folder)


DRAWN = Decoding(12, temperature=1.0, seed=4)


def test_a_prompt_may_be_a_text_an_example_or_several(opened, folder):
    one = generate(opened, "red", settings=DRAWN)
    assert generate(folder, Example("red"), settings=DRAWN) == one
    assert generate(opened, ["red", Example("green")], settings=DRAWN)[0] == one[0]
    assert "".join(generate_stream(opened, "red", settings=DRAWN)) == one[0].text
    assert generate(opened, [], settings=DRAWN) == []
    with pytest.raises(UsageError, match="Prompt 2 is of type int"):
        generate(opened, ["red", 3])


def test_choices(opened):
    found = choose(opened, ["red", "green"], ["one", "two"])
    assert all(max(one.probabilities, key=one.probabilities.get) == one.text for one in found)
    assert choose(opened, [], ["one", "two"]) == []


def test_a_schema(opened):
    schema = {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}
    schema |= {"additionalProperties": False}
    assert generate(opened, "red", schema=schema, settings=Decoding(40))[0].text in ('{"a": true}', '{"a": false}')


def test_a_missing_model_is_said_without_options_of_other_commands():
    with pytest.raises(BackboneMissing, match="There is no folder nobody/nothing") as caught:
        open_model("nobody/nothing")
    assert "--backbone" not in str(caught.value)


def test_a_conversation_remembers_and_is_the_same_when_held_again(opened):
    first, second = Chat(opened, DRAWN), Chat(opened, DRAWN)
    for chat in (first, second):
        for text in ("red", "green"):
            "".join(chat.ask(text))
    assert first.said == second.said
    assert [turn.role for turn in first.said] == ["user", "assistant"] * 2
    whole = Example("green", messages=(*first.said[:2], Message("user", "green")))
    wanted = generate(opened, whole, settings=Decoding(12, temperature=1.0, seed=6))[0].text
    assert first.said[3].content == wanted
    first.reset()
    assert first.said == []


def test_the_systems_message_stays(opened):
    chat = Chat(opened, DRAWN, system="Be brief")
    said = "".join(chat.ask("red"))
    turns = (Message("system", "Be brief"), Message("user", "red"))
    assert said == generate(opened, Example("red", messages=turns), settings=DRAWN)[0].text
    chat.reset()
    assert chat.system == "Be brief"


def test_what_was_given_before_the_listener_left_stays_said(opened):
    chat = Chat(opened, Decoding(300, temperature=1.0))
    answer = chat.ask("red")
    given = next(answer)
    answer.close()
    assert chat.said == [Message("user", "red"), Message("assistant", given)]


def test_a_long_conversation_goes_on(opened):
    chat = Chat(opened, DRAWN)
    chat.said = [Message("user", "red " * 100), Message("assistant", "one " * 100)] * 3
    assert "".join(chat.ask("green")) == chat.said[-1].content
    assert len(chat.said) == 8


def test_a_few_shot_fit_puts_its_rows_before_every_prompt(folder, tmp_path):
    """As its own writer does: written, streamed, chosen and in conversation."""
    from fewtune.backbones.language.load import load_language_model
    from fewtune.data.templates import Template
    from fewtune.methods.generation.few_shot import FewShotPrompt, FewShotWriter
    from fewtune.recipe import Recipe
    from fewtune.writer_folder import WritingModel, save_writer

    method, template = FewShotPrompt(shots=2, choose="tfidf"), Template("chat")
    rows = [Example(f"red {number}", completion=f"one {number}") for number in range(6)]
    writer = FewShotWriter(load_language_model(folder), template, method, rows, 0)
    writer.settings = Decoding(7)
    save_writer(
        WritingModel(writer, Recipe(method=method, backbone=str(folder), template=template)), tmp_path / "model"
    )
    fit = open_model(tmp_path)
    assert fit.max_new_tokens == 7
    (asked,) = fit.asked([Example("red 3")])
    assert [turn.content for turn in asked.messages if turn.role == "assistant"][-1] == "one 3"
    answer = generate(fit, "red 3")[0]
    assert answer.text == writer.write([Example("red 3")])[0]
    assert answer.prompt_tokens > len(fit.model.encode_prompt(Example("red 3"), template).ids)
    assert answer.tokens <= 7
    assert "".join(generate_stream(fit, "red 3")) == answer.text
    assert "".join(Chat(fit).ask("red 3")) == answer.text
