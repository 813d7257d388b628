"""Where an answer ends: at a token, at a string, or when somebody waits for it no longer.

Legend: B rows, T tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from fewtune.backbones.language.marked import ending
from fewtune.backbones.language.model import LanguageModel
from fewtune.backbones.language.pieces import plain_ids
from fewtune.data.templates import Template, layout_class

TAIL = 16
"""Prompt tokens that an answer is read behind: some tokenizers drop the first space of what they turn into text."""


def end_ids(model: LanguageModel, template: Template) -> list[int]:
    """Tokens that end an answer: the model's own, and the one that ends a turn in the layout."""
    stated = getattr(getattr(model.model, "generation_config", None), "eos_token_id", None)
    own = [stated] if isinstance(stated, int) else list(stated or ())
    turn = _mark(model, template)
    single = plain_ids(turn, model.tokenizer) if turn else []
    found = [*([] if model.end_id is None else [model.end_id]), *own, *(single if len(single) == 1 else ())]
    return list(dict.fromkeys(int(one) for one in found if 0 <= int(one) < model.vocabulary))


def end_strings(model: LanguageModel, template: Template, asked: Iterable[str] = ()) -> tuple[str, ...]:
    """Strings that end an answer: those asked for, and the layout's mark where it is several tokens."""
    turn = _mark(model, template)
    several = turn and len(plain_ids(turn, model.tokenizer)) > 1
    return tuple(dict.fromkeys([*asked, *([turn] if several else ())]))


def _mark(model: LanguageModel, template: Template) -> str:
    if model.kind == "seq2seq":
        return ""
    return ending(layout_class(template.layout)(), model.tokenizer)


def opening(model: LanguageModel, template: Template) -> str:
    """What the layout puts between prompt and answer, which is no part of the answer."""
    if model.kind == "seq2seq":
        return ""
    whole = layout_class(template.layout)().answer("x", model.tokenizer)
    return whole[: len(whole) - len(whole.lstrip())]


def written_text(model: LanguageModel, before: Sequence[int], ids: Sequence[int]) -> str:
    """What `ids` say behind the tokens `before`, spaces as they are."""
    tail = list(before[-TAIL:]) if model.kind == "causal" else []
    known, both = model.decode(tail), model.decode([*tail, *ids])
    return both[len(known) :] if both.startswith(known) else model.decode(ids)


def before_stop(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """The text up to where a stop string begins, and whether one does."""
    places = [place for place in (text.find(stop) for stop in stops) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


class StopStrings:
    """Ends a row when one of the strings stands at the end of what it has written."""

    def __init__(self, model: LanguageModel, prompt_tokens: int, stops: Sequence[str]) -> None:
        self.model, self.prompt_tokens, self.stops = model, prompt_tokens, stops
        # A token is a byte or more, and a stop string may begin within one.
        self.reach = max(len(stop.encode("utf-8", "replace")) for stop in stops) + 4

    def __call__(self, ids_BT: torch.Tensor, scores: Any, **rest: Any) -> torch.Tensor:
        """[B] whether each row has come to its stop."""
        del scores, rest
        last_BT = ids_BT[:, self.prompt_tokens :][:, -self.reach :].tolist()
        found = [any(stop in self.model.decode(ids) for stop in self.stops) for ids in last_BT]
        return torch.tensor(found, device=ids_BT.device, dtype=torch.bool)


class Interrupted:
    """Ends every row once nobody waits for it."""

    def __init__(self, gone: threading.Event) -> None:
        self.gone = gone

    def __call__(self, ids_BT: torch.Tensor, scores: Any, **rest: Any) -> torch.Tensor:
        """[B] whether each row ends: all or none."""
        del scores, rest
        return torch.full((ids_BT.shape[0],), self.gone.is_set(), device=ids_BT.device, dtype=torch.bool)
