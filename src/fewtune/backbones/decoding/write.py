"""Answers to many prompts: sorted by length, padded on the left, cached, by transformers' `generate`.

Legend: B rows, T tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from fewtune.backbones.batches import by_length
from fewtune.backbones.decoding.choose import Constraint, processors
from fewtune.backbones.decoding.endings import (
    StopStrings,
    before_stop,
    end_ids,
    end_strings,
    opening,
    written_text,
)
from fewtune.backbones.decoding.settings import Decoding
from fewtune.backbones.language.encode import Encoded
from fewtune.backbones.language.model import LanguageModel
from fewtune.backbones.language.virtual import of_one_length, virtual_tokens
from fewtune.backbones.portions import Portions, Say
from fewtune.backbones.quiet import quiet
from fewtune.data.base import Example
from fewtune.data.templates import Template

TOKENS_AT_ONCE = {"cpu": 8192, "cuda": 65536}
"""Prompts and room for their answers, padding included, in one batch."""
Finish = Literal["end", "stop", "length"]


@dataclass(frozen=True)
class Written:
    """One answer."""

    text: str
    """Without the mark or stop string that ended it, without outer spaces."""
    finish: Finish
    """`end`: the model ended it; `stop`: at a stop string; `length`: at the most tokens asked for."""
    tokens: int
    """How many were written, the one that ends it included."""
    prompt_tokens: int = 0
    cut: int = 0
    """Tokens that were cut from the left of the prompt."""


def write(
    examples: Sequence[Example],
    model: LanguageModel,
    template: Template | None = None,
    *,
    settings: Decoding | None = None,
    constraint: Constraint | None = None,
    progress: Callable[[int], None] | None = None,
    say: Say | None = None,
) -> list[Written]:
    """An answer to each example's prompt, in the order given.

    Parameters
    ----------
    template : how a prompt is laid out; None: the recipe's, else the model's own chat, else plain.
    constraint : what every answer must be (`decoding/grammar.py`).
    progress : told how many more answers are done.
    say : told once if memory makes batches smaller.

    Raises
    ------
    DataError : a prompt whose layout leaves no room, with its row.
    """
    settings, template = settings or Decoding(), model.settle(template)
    prompts = [model.encode_prompt(example, template, room=answer_room(model, settings)) for example in examples]
    lengths = [len(prompt.ids) + min(settings.max_new_tokens, model.context) for prompt in prompts]
    budget = TOKENS_AT_ONCE.get(model.device.type, TOKENS_AT_ONCE["cpu"])
    found: dict[int, Written] = {}
    portions = Portions(say)
    batches = of_one_length if virtual_tokens(model.model) else by_length
    for batch in batches(lengths, token_budget=budget):
        rows = [int(row) for row in batch]

        def work(part: Sequence[int]) -> list[Written]:
            return _batch([prompts[row] for row in part], part, model, template, settings, constraint)

        found.update(zip(rows, portions.map(rows, work), strict=True))
        if progress is not None:
            progress(len(rows))
    return [found[row] for row in range(len(prompts))]


def answer_room(model: LanguageModel, settings: Decoding) -> int:
    """Tokens of the context kept free for the answer: never more than half, so that a prompt keeps its meaning."""
    return min(settings.max_new_tokens, model.context // 2)


def _batch(
    prompts: Sequence[Encoded],
    rows: Sequence[int],
    model: LanguageModel,
    template: Template,
    settings: Decoding,
    constraint: Constraint | None,
) -> list[Written]:
    ends, stops = end_ids(model, template), end_strings(model, template, settings.stop)
    ids_BT, mask_BT = padded_left([prompt.ids for prompt in prompts], model.pad_id, model.device)
    written_BT = run(model, ids_BT, mask_BT, settings, rows=rows, ends=ends, stops=stops, constraint=constraint)
    answers = zip(prompts, written_BT.tolist(), strict=True)
    return [_written(prompt, ids, model, template, ends, stops) for prompt, ids in answers]


def run(
    model: LanguageModel,
    ids_BT: torch.Tensor,
    mask_BT: torch.Tensor,
    settings: Decoding,
    *,
    rows: Sequence[int],
    ends: Sequence[int],
    stops: Sequence[str] = (),
    constraint: Constraint | None = None,
    streamer: Any = None,
    criteria: Sequence[Any] = (),
) -> torch.Tensor:
    """[B, T] tokens written behind the prompts, filled with padding once a row has ended."""
    from transformers import StoppingCriteriaList

    causal = model.kind == "causal"
    before = ids_BT.shape[1] if causal else 1
    stopping = [*([StopStrings(model, before, stops)] if stops else []), *criteria]
    room = model.context - before if causal else model.context
    bars = None if constraint is None else constraint.start(len(rows))
    options: dict[str, Any] = {"mask_BT": mask_BT if causal else None, "prompt_tokens": before, "bars": bars}
    steps = processors(settings, rows=rows, **options)
    if model.team is not None:  # one of them that chose otherwise would leave the others waiting
        team = model.team
        steps.append(lambda _, scores_BV: team.copied(scores_BV.contiguous()))
    # Weights that are lent for a layer at a time must not become tensors that only inference may touch.
    with torch.inference_mode(model.team is None), torch.no_grad(), quiet():
        whole_BT: torch.Tensor = model.model.generate(
            input_ids=ids_BT,
            attention_mask=mask_BT,
            generation_config=_greedy(model, max(1, min(settings.max_new_tokens, room)), ends),
            logits_processor=steps,
            stopping_criteria=StoppingCriteriaList(stopping),
            streamer=streamer,
        )
    return whole_BT[:, before:]


def _greedy(model: LanguageModel, most: int, ends: Sequence[int]) -> Any:
    """The likeliest token each time, as transformers takes it: what is drawn is drawn by `processors`."""
    from transformers import GenerationConfig

    return GenerationConfig(
        max_new_tokens=most,
        max_length=None,
        do_sample=False,
        num_beams=1,
        use_cache=True,
        repetition_penalty=1.0,
        eos_token_id=list(ends) or None,
        pad_token_id=model.pad_id,
    )


def padded_left(
    tokens: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """[B, T] token ids padded on the left, so that all end together, and the [B, T] mask of real tokens."""
    ids_BT = torch.full((len(tokens), max(map(len, tokens))), pad_id, dtype=torch.long)
    mask_BT = torch.zeros_like(ids_BT)
    for row, sequence in enumerate(tokens):
        ids_BT[row, ids_BT.shape[1] - len(sequence) :] = torch.tensor(sequence, dtype=torch.long)
        mask_BT[row, ids_BT.shape[1] - len(sequence) :] = 1
    return ids_BT.to(device), mask_BT.to(device)


def _written(
    prompt: Encoded, ids: list[int], model: LanguageModel, template: Template, ends: Sequence[int], stops: Sequence[str]
) -> Written:
    place = next((number for number, one in enumerate(ids) if one in ends), None)
    own = ids if place is None else ids[:place]
    text, stopped = before_stop(written_text(model, prompt.ids, own), stops)
    finish: Finish = "stop" if stopped else "length" if place is None else "end"
    tokens = len(ids) if place is None else place + 1
    if stopped and place is None:
        tokens = _until(model, prompt.ids, own, stops)
    lead = opening(model, template)
    text = text.removeprefix(lead).strip()
    return Written(text, finish, tokens, len(prompt.ids), prompt.cut)


def _until(model: LanguageModel, before: Sequence[int], ids: list[int], stops: Sequence[str]) -> int:
    """How many tokens were written when the stop string stood: the rest is the batch's padding."""
    for number in range(1, len(ids) + 1):
        if before_stop(written_text(model, before, ids[:number]), stops)[1]:
            return number
    return len(ids)
