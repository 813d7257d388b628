"""What tuning cost elsewhere, and what was learnt by heart: a tiny model, tuned for real."""

import dataclasses
import json

import numpy as np
import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example
from fewtune.data.general import general_text, read_general
from fewtune.errors import DataError
from fewtune.methods.base import Material
from fewtune.methods.generation.base import ModelWriter
from fewtune.methods.generation.full import FullWriter
from fewtune.study.budget import Budget
from fewtune.study.evaluator import bits_per_byte
from fewtune.study.forgetting import forgetting
from fewtune.study.memorising import memorisation
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.loop import train

TOYS = writer_toys(16)
GENERAL = [("general text", general_text())]
FREE = Budget(None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("writers")


@pytest.fixture(scope="module", params=["llama", "t5"])
def model(request, folder):
    return load_language_model(
        make_tiny_writer(folder / request.param, request.param, chat_template=CHAT), precision="float32"
    )


def tuned(model, examples, epochs):
    none = np.zeros(len(examples), dtype=np.int64)
    prompts = [example.prompt for example in examples]
    material = Material(prompts, none, (), None, examples=examples, language_model=model, template=model.settle())
    return train(FullWriter(rate=5e-3, epochs=epochs, spare=0.0), material)


def test_general_text_is_sixty_sentences_of_twelve_kinds():
    found = general_text()
    assert len(found) == len({example.text for example in found}) == 60
    kinds = [example.fields["kind"] for example in found]
    assert len(set(kinds)) == 12
    assert {kinds.count(kind) for kind in kinds} == {5}
    assert all(example.text[-1] in ".?" for example in found)


def test_before_is_the_untuned_model_and_after_the_tuned_one(model):
    fitted = tuned(model, TOYS.examples, 6)
    found = forgetting(fitted, True, GENERAL, FREE)
    assert found["skipped"] == []
    (one,) = found["measured"]
    assert json.loads(json.dumps(one)) is not None
    rows = list(general_text())
    if model.kind == "causal":  # a seq2seq model is asked for second halves
        untuned = ModelWriter(model, fitted.template)
        assert one["before"]["mean"] == pytest.approx(bits_per_byte(untuned.costs(rows)), abs=1e-6)
        assert one["after"]["mean"] == pytest.approx(bits_per_byte(fitted.costs(rows)), abs=1e-6)
    assert one["rows"] == 60
    assert one["difference"]["mean"] == pytest.approx(one["after"]["mean"] - one["before"]["mean"], abs=1e-6)
    assert one["difference"]["low"] <= one["difference"]["mean"] <= one["difference"]["high"]
    assert "On general text (60 rows)" in one["sentence"]


def test_a_tuning_on_the_probes_gains_on_them(model):
    probes = read_general([{"prompt": one.prompt, "completion": one.completion} for one in TOYS])
    (one,) = forgetting(tuned(model, TOYS.examples, 12), True, [("your probe prompts", probes)], FREE)["measured"]
    assert one["verdict"] == "gained"
    assert one["difference"]["high"] < 0


def test_what_was_not_tuned_has_forgotten_and_memorised_nothing(model):
    writer = ModelWriter(model, model.settle())
    assert forgetting(writer, False, GENERAL, FREE)["skipped"] == [
        "The chosen model was not tuned: it has forgotten nothing."
    ]
    assert "not tuned" in memorisation(writer, False, TOYS, {}, FREE)["skipped"]


def test_without_time_both_say_so(model):
    writer = ModelWriter(model, model.settle())
    spent = Budget(1.0, started=-1e9)
    found = forgetting(writer, True, GENERAL, spent)
    assert found["measured"] == []
    assert "no time left" in found["skipped"][0]
    assert "--budget" in memorisation(writer, True, TOYS, {}, spent)["skipped"]


def test_probes_are_texts_or_prompts_with_completions(tmp_path):
    path = tmp_path / "probes.txt"
    path.write_text("one text\ntwo texts\n", encoding="utf-8")
    assert [one.text for one in read_general(path)] == ["one text", "two texts"]
    assert [one.text for one in read_general(["a b", "c"])] == ["a b", "c"]
    (one,) = read_general([{"prompt": "a", "completion": "b"}])
    assert (one.prompt, one.completion) == ("a", "b")
    with pytest.raises(DataError, match="completion is empty"):
        read_general([{"prompt": "a", "completion": "b"}, {"prompt": "c", "completion": ""}])


class Parrot(ModelWriter):
    """Gives back what it was told to, and keeps count."""

    def __init__(self, said):
        self.said, self.asked_of = said, []

    def write(self, examples, settings=None):
        self.asked_of += [example.row for example in examples]
        return [self.said.get(example.prompt, "nothing") for example in examples]


def test_training_rows_given_back_are_held_against_held_out_ones():
    learnt = Parrot({example.prompt: example.completion for example in TOYS})
    found = memorisation(learnt, True, TOYS, dict.fromkeys(range(16), "something else"), FREE)
    assert found["training"]["reproduced"]["mean"] == 1.0
    assert found["held_out"]["reproduced"]["mean"] == 0.0
    assert found["verdict"] == "memorised"
    same = memorisation(learnt, True, TOYS, {row: TOYS.examples[row].completion for row in range(16)}, FREE)
    assert same["verdict"] == "no sign", "what is given back of unseen rows was not learnt by heart"


def test_at_most_two_hundred_rows_are_asked_for_and_runs_name_rows_of_the_file():
    rows = [Example(f"prompt {n}", row=n, completion=f"answer {n}") for n in range(1, 301)]
    writer = Parrot({"prompt 250": "answer 250"})
    found = memorisation(writer, True, TOYS.replace(examples=tuple(rows)), {}, FREE, seed=2)
    assert len(set(writer.asked_of)) == len(writer.asked_of) == 200
    assert found["verdict"] == "unknown"
    if 250 in writer.asked_of:
        assert found["training"]["runs"][0]["row"] == 249
        assert "(row 250)" in found["sentence"]


def test_another_completion_of_the_same_prompt_is_given_back_too():
    rows = tuple(Example("p", row=n, completion=said) for n, said in ((1, "one two"), (2, "three four")))
    found = memorisation(Parrot({"p": "three four"}), True, TOYS.replace(examples=rows), {}, FREE)
    assert found["training"]["reproduced"]["mean"] == 1.0


def test_plain_texts_have_no_prompts_to_ask_with():
    texts = dataclasses.replace(TOYS, task="language_modelling")
    assert "no prompts" in memorisation(Parrot({}), True, texts, {}, FREE)["skipped"]
