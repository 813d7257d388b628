"""Answers that share a pass: token by token what whole passes give, and nothing of one in another."""

import numpy as np
import pytest
import torch

from fewtune.backbones.decoding import behind
from fewtune.backbones.decoding.score import score
from fewtune.backbones.decoding.write import padded_left
from fewtune.data.base import Example

PROMPTS = [[5, 6, 7], [9] * 11, [12]]
ANSWERS = [[3, 8, 4], [3, 8], [10], [3, 9, 11, 2], [3, 8, 4, 4]]


@pytest.fixture(params=[("llama", "byte_fallback"), ("gpt2", "byte_level")], ids="-".join)
def model(request, writer):
    return writer(*request.param)


def read(model):
    return behind.read(model, *padded_left(PROMPTS, model.pad_id, model.device))


def alone(model, prompt, answer):
    """From one whole pass over the prompt and the answer, without a cache."""
    logs_TV = torch.log_softmax(model.model(torch.tensor([[*prompt, *answer]])).logits[0].float(), -1)
    return sum(float(logs_TV[len(prompt) + place - 1, token]) for place, token in enumerate(answer))


@pytest.mark.parametrize("most", [1, 4, 10**9])
def test_together_apart_or_some_at_a_time_they_are_what_whole_passes_give(model, monkeypatch, most):
    monkeypatch.setattr(behind, "LOGITS_AT_ONCE", most * len(PROMPTS) * model.vocabulary)
    with torch.inference_mode():
        assert behind.stands_together(model)
        found_AB = torch.stack(list(behind.likelihoods(model, read(model), ANSWERS)))
        wanted = [[alone(model, prompt, answer) for prompt in PROMPTS] for answer in ANSWERS]
    np.testing.assert_allclose(found_AB, wanted, atol=1e-4)


def test_all_answers_cost_one_pass_behind_the_prompts(model, monkeypatch):
    assert behind.stands_together(model)
    passes, forward = [], model.model.forward

    def counted(input_ids, position_ids=None, **more):
        passes.append(tuple(input_ids.shape))
        return forward(input_ids=input_ids, position_ids=position_ids, **more)

    monkeypatch.setattr(model.model, "forward", counted)
    score([Example("red"), Example("one two")], ("one", "two cats", "good food"), model)
    assert len(passes) == 2


def test_another_answer_changes_nothing(model):
    with torch.inference_mode():
        few = torch.stack(list(behind.likelihoods(model, read(model), ANSWERS[:2])))
        more = torch.stack(list(behind.likelihoods(model, read(model), [*ANSWERS[:2], [4, 4, 4, 4, 4]])))
    torch.testing.assert_close(more[:2], few, rtol=0, atol=1e-5)


def test_a_model_that_takes_no_such_mask_reads_them_one_by_one(model, monkeypatch):
    def refuses(model, mask_BT, owner_S, depth_S, *, together):
        if together:
            raise ValueError("four dimensions")
        return torch.cat([mask_BT, mask_BT.new_ones(len(mask_BT), len(owner_S))], dim=1)

    monkeypatch.setattr(behind, "_mask", refuses)
    behind._known.pop(model, None)
    with torch.inference_mode():
        assert not behind.stands_together(model)
        found_AB = torch.stack(list(behind.likelihoods(model, read(model), ANSWERS)))
        wanted = [[alone(model, prompt, answer) for prompt in PROMPTS] for answer in ANSWERS]
    behind._known.pop(model, None)
    np.testing.assert_allclose(found_AB, wanted, atol=1e-4)


def test_groups_hold_as_much_as_is_allowed_and_one_at_least():
    assert list(behind.groups([3, 3, 3, 9, 0, 1], 6)) == [[0, 1], [2], [3], [4, 5]]
    assert list(behind.groups([], 6)) == []
