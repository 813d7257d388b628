"""Likelihoods of given answers: number by number those of whole passes, whoever shares the batch."""

import numpy as np
import pytest
import torch

from fewtune.backbones.decoding.score import probabilities, score
from fewtune.data.base import Example
from fewtune.data.templates import Template
from fewtune.errors import UsageError
from fewtune.testing.tiny_writers import CHAT

CHOICES = ("one", "two cats", "good", "The Mill serves Italian food")
PROMPTS = [Example("red"), Example("The Mill " * 20), Example("is it good?")]


@pytest.fixture(params=[("llama", "byte_fallback"), ("gpt2", "byte_level"), ("t5", "t5_like")], ids="-".join)
def model(request, writer):
    return writer(*request.param)


def by_whole_passes(model, template):
    found = np.zeros((len(PROMPTS), len(CHOICES)))
    for row, prompt in enumerate(PROMPTS):
        for place, choice in enumerate(CHOICES):
            coded = model.encode(Example(prompt.text, completion=choice), template)
            ids = torch.tensor([coded.ids])
            with torch.inference_mode():
                if model.kind == "seq2seq":
                    target = torch.tensor([coded.target])
                    logs = torch.log_softmax(model.model(input_ids=ids, labels=target).logits[0], -1)
                    found[row, place] = float(logs.gather(1, target[0][:, None]).sum())
                else:
                    logs = torch.log_softmax(model.model(ids).logits[0], -1)
                    counts = [place for place, counted in enumerate(coded.counted) if counted]
                    found[row, place] = sum(float(logs[where - 1, coded.ids[where]]) for where in counts)
    return found


@pytest.mark.parametrize("layout", ["plain", "instruction", "chatml"])
def test_scores_are_those_of_whole_passes(model, layout):
    template = Template(layout)
    np.testing.assert_allclose(score(PROMPTS, CHOICES, model, template), by_whole_passes(model, template), atol=1e-4)


def test_a_row_is_scored_the_same_alone_and_in_company(model):
    together = score(PROMPTS, CHOICES, model)
    for row, prompt in enumerate(PROMPTS):
        np.testing.assert_allclose(score([prompt], CHOICES, model)[0], together[row], atol=1e-5)


def test_per_token_divides_by_the_length_of_the_choice(writer):
    model = writer("llama", "byte_level", CHAT)
    whole, mean = score(PROMPTS, CHOICES, model), score(PROMPTS, CHOICES, model, per_token=True)
    lengths = whole / mean
    np.testing.assert_allclose(lengths, np.round(lengths), atol=1e-9)
    assert lengths[0].tolist() == sorted(lengths[0].tolist())[:1] + lengths[0].tolist()[1:]


def test_without_the_end_a_choice_may_be_the_beginning_of_another(writer):
    model = writer("llama", "byte_level", CHAT)
    shorter, longer = score(PROMPTS, ("cat", "cat dog"), model, ended=False).T
    assert np.all(shorter > longer)


def test_probabilities_add_up_and_survive_great_numbers():
    probs = probabilities(np.asarray([[-2000.0, -2001.0], [0.0, -800.0]]))
    np.testing.assert_allclose(probs.sum(axis=1), 1)
    np.testing.assert_allclose(probs[0], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(1))])


@pytest.mark.parametrize("choices", [(), ("a", ""), ("a", "a")])
def test_choices_that_cannot_be_meant(writer, choices):
    with pytest.raises(UsageError, match="Choices"):
        score(PROMPTS, choices, writer("gpt2"))


def test_no_rows_no_scores(writer):
    assert score([], CHOICES, writer("gpt2")).shape == (0, 4)


def test_memory_that_runs_out_changes_nothing(writer, monkeypatch):
    model = writer("gpt2")
    wanted = score(PROMPTS, CHOICES, model)
    forward = model.model.forward

    def small(
        input_ids, attention_mask=None, position_ids=None, past_key_values=None, use_cache=None, logits_to_keep=0
    ):
        if len(input_ids) > 1:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")
        return forward(
            input_ids=input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
        )

    monkeypatch.setattr(model.model, "forward", small)
    said = []
    np.testing.assert_allclose(score(PROMPTS, CHOICES, model, say=said.append), wanted, atol=1e-5)
    assert len(said) == 1
