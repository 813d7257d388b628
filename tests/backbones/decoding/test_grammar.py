"""Answers held to a schema or an expression are of it, whatever a random model would rather say."""

import json
import re

import pytest

from fewtune.backbones.decoding.grammar import Grammar, read_schema
from fewtune.backbones.decoding.settings import Decoding
from fewtune.backbones.decoding.stream import stream
from fewtune.backbones.decoding.write import write
from fewtune.data.base import Example
from fewtune.errors import UnreadableFile, UsageError
from fewtune.testing.tiny_writers import CHAT

SCHEMA = {
    "type": "object",
    "properties": {
        "kind": {"enum": ["good", "bad"]},
        "stars": {"type": "integer", "minimum": 1, "maximum": 5},
        "open": {"type": "boolean"},
    },
    "required": ["kind", "stars", "open"],
    "additionalProperties": False,
}
PROMPTS = [Example(text) for text in ("red", "", "The Mill serves Italian food")]
DRAWN = Decoding(80, temperature=1.0, seed=1)


@pytest.fixture(params=[("llama", "byte_fallback", CHAT), ("gpt2", "byte_level", None)], ids=["llama", "gpt2"])
def model(request, writer):
    return writer(*request.param)


@pytest.mark.parametrize("settings", [Decoding(80), DRAWN], ids=["greedy", "drawn"])
def test_every_answer_is_json_of_the_schema(model, settings):
    found = write(PROMPTS, model, settings=settings, constraint=Grammar.of_schema(SCHEMA, model))
    for one in found:
        answer = json.loads(one.text)
        assert list(answer) == ["kind", "stars", "open"]
        assert answer["kind"] in ("good", "bad")
        assert 1 <= answer["stars"] <= 5
        assert isinstance(answer["open"], bool)
        assert one.finish == "end"


def test_rows_under_a_constraint_are_as_they_are_alone(model):
    grammar = Grammar.of_schema(SCHEMA, model)
    together = write(PROMPTS, model, settings=Decoding(80), constraint=grammar)
    assert [write([one], model, settings=Decoding(80), constraint=grammar)[0] for one in PROMPTS] == together


def test_an_expression_is_matched_whole(model):
    grammar = Grammar.of_regex(r"[0-9]{3}-(red|green)", model)
    for one in write(PROMPTS, model, settings=DRAWN, constraint=grammar):
        assert re.fullmatch(r"[0-9]{3}-(red|green)", one.text)


def test_a_stream_is_held_to_it_too(model):
    answer = "".join(stream(PROMPTS[0], model, settings=Decoding(80), constraint=Grammar.of_schema(SCHEMA, model)))
    assert set(json.loads(answer)) == {"kind", "stars", "open"}


def test_a_schema_that_is_none(model):
    with pytest.raises(UsageError, match="cannot be held to this"):
        Grammar.of_schema({"type": "no such type"}, model)
    with pytest.raises(UsageError, match="cannot be held to this"):
        Grammar.of_regex("(", model)


def test_a_file_that_holds_no_schema(tmp_path):
    with pytest.raises(UnreadableFile, match="no such file"):
        read_schema(tmp_path / "none.json")
    for content in ("{", "[]"):
        (tmp_path / "schema.json").write_text(content)
        with pytest.raises(UnreadableFile, match=r"schema\.json"):
            read_schema(tmp_path / "schema.json")
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    assert read_schema(tmp_path / "schema.json") == SCHEMA


def test_without_the_library_it_is_said(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(ImportError, match=r"llguidance.*fewtune\[constrain\]"):
        Grammar.of_regex("a", model)
