"""How likely each of given answers is after a prompt: choosing a label with a model that writes.

A prompt is read once; its cache is shared by all choices, which are read in one pass (`decoding/behind.py`).

Legend: N prompts, C choices, B rows of a batch, T tokens, V tokens of the vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewtune.backbones.batches import by_length, pad_tokens
from fewtune.backbones.decoding import behind
from fewtune.backbones.decoding.write import TOKENS_AT_ONCE, padded_left
from fewtune.backbones.language.encode import Encoded
from fewtune.backbones.language.model import LanguageModel
from fewtune.backbones.language.virtual import refuse_choices
from fewtune.backbones.portions import Portions, Say
from fewtune.data.base import Example
from fewtune.data.templates import Template
from fewtune.errors import UsageError

Scores = NDArray[np.float64]


def score(
    examples: Sequence[Example],
    choices: Sequence[str],
    model: LanguageModel,
    template: Template | None = None,
    *,
    per_token: bool = False,
    ended: bool = True,
    progress: Callable[[int], None] | None = None,
    say: Say | None = None,
) -> Scores:
    """[N, C] log-likelihood of each choice as the answer to each prompt, in nats.

    Parameters
    ----------
    choices : the answers, as texts.
    per_token : divide by the number of tokens, so that long answers are not at a loss.
    ended : count the token that ends the answer too: `cat` is then not also the beginning of `cats`.

    Raises
    ------
    UsageError : no choices, or an empty or repeated one.
    """
    if not choices or any(not choice.strip() for choice in choices) or len(set(choices)) < len(choices):
        raise UsageError("Choices must be texts, none empty, none twice.")
    template = model.settle(template)
    if not examples:
        return np.zeros((0, len(choices)))
    answers = answer_ids(examples[0], choices, model, template, ended=ended)
    refuse_choices(model.model)
    longest = max(map(len, answers))
    prompts = [model.encode_prompt(example, template, room=longest) for example in examples]
    lengths = [len(prompt.ids) + longest for prompt in prompts]
    budget = TOKENS_AT_ONCE.get(model.device.type, TOKENS_AT_ONCE["cpu"])
    found_NC = np.zeros((len(prompts), len(choices)))
    portions = Portions(say)
    for batch in by_length(lengths, token_budget=budget):
        part = [prompts[int(row)] for row in batch]
        found_NC[batch] = np.stack(portions.map(part, lambda some: list(_batch(some, answers, model))))
        if progress is not None:
            progress(len(part))
    return found_NC / np.asarray([len(ids) for ids in answers]) if per_token else found_NC


def probabilities(scores_NC: Scores) -> Scores:
    """[N, C] that add up to 1 in each row."""
    exps_NC = np.exp(scores_NC - scores_NC.max(axis=1, keepdims=True))
    return np.asarray(exps_NC / exps_NC.sum(axis=1, keepdims=True), dtype=np.float64)


def answer_ids(
    example: Example, choices: Sequence[str], model: LanguageModel, template: Template, *, ended: bool
) -> list[list[int]]:
    """Tokens of each choice as a completion is encoded, behind a short prompt of the same layout."""
    short = Example(example.text[-200:] if model.kind == "causal" else "a")
    found = []
    for choice in choices:
        coded = model.encode(Example(short.text, completion=choice), template)
        ids = list(coded.target) or [one for one, counts in zip(coded.ids, coded.counted, strict=True) if counts]
        found.append(ids if ended or len(ids) == 1 else ids[:-1])
    return found


def _batch(prompts: Sequence[Encoded], answers: Sequence[Sequence[int]], model: LanguageModel) -> Scores:
    with torch.inference_mode():
        found_CB = list((_seq2seq if model.kind == "seq2seq" else _causal)(prompts, answers, model))
    return np.asarray(torch.stack(found_CB, dim=1).double().cpu().numpy())


def _causal(prompts: Sequence[Encoded], answers: Sequence[Sequence[int]], model: LanguageModel) -> Any:
    """[B] of each answer: the prompts are read once, then the answers behind their cache."""
    ids_BT, mask_BT = padded_left([prompt.ids for prompt in prompts], model.pad_id, model.device)
    return behind.likelihoods(model, behind.read(model, ids_BT, mask_BT), answers)


def _seq2seq(prompts: Sequence[Encoded], answers: Sequence[Sequence[int]], model: LanguageModel) -> Any:
    """[B] of each answer: the prompts are encoded once."""
    ids_BT, mask_BT = (part.to(model.device) for part in pad_tokens([prompt.ids for prompt in prompts], model.pad_id))
    encoded = model.model.get_encoder()(input_ids=ids_BT, attention_mask=mask_BT)
    config = model.model.config
    start = config.decoder_start_token_id if config.decoder_start_token_id is not None else model.pad_id
    for answer in answers:
        part_BT = torch.tensor([[start, *answer[:-1]]], device=ids_BT.device).expand(len(prompts), -1)
        out = model.model(encoder_outputs=encoded, attention_mask=mask_BT, decoder_input_ids=part_BT, use_cache=False)
        yield _picked(out.logits, answer)


def _picked(logits_BTV: torch.Tensor, ids: Sequence[int]) -> torch.Tensor:
    """[B] summed log-likelihood of `ids`, one at each place."""
    wanted_T = torch.tensor(ids, device=logits_BTV.device)
    logs_BTV = torch.log_softmax(logits_BTV.float(), dim=-1)
    return logs_BTV.gather(2, wanted_T.view(1, -1, 1).expand(len(logits_BTV), -1, 1)).sum(dim=(1, 2))
