"""One answer as it is written: pieces of text that nothing later can change.

The model works in a thread of its own; whoever stops listening stops it at the next token.
"""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from fewtune.backbones.decoding.choose import Constraint
from fewtune.backbones.decoding.endings import (
    Interrupted,
    before_stop,
    end_ids,
    end_strings,
    opening,
    written_text,
)
from fewtune.backbones.decoding.settings import Decoding
from fewtune.backbones.decoding.write import answer_room, padded_left, run
from fewtune.backbones.language.encode import Encoded
from fewtune.backbones.language.model import LanguageModel
from fewtune.data.base import Example
from fewtune.data.templates import Template

BROKEN = "\ufffd"
"""Stands for a character whose bytes are not all there yet."""
BYTE = re.compile("<0x[0-9A-F]{2}>")
"""A token that is one byte, in vocabularies that fall back to them."""
LONGEST_RUN = 64
"""Of byte tokens that is waited for."""


def stream(
    example: Example,
    model: LanguageModel,
    template: Template | None = None,
    *,
    settings: Decoding | None = None,
    constraint: Constraint | None = None,
) -> Iterator[str]:
    """The answer to one prompt in pieces, which joined are what `write` gives.

    Raises
    ------
    DataError : the layout leaves no room for an answer.
    """
    settings, template = settings or Decoding(), model.settle(template)
    prompt = model.encode_prompt(example, template, room=answer_room(model, settings))
    return _pieces(prompt, model, template, settings, constraint)


def _pieces(
    prompt: Encoded, model: LanguageModel, template: Template, settings: Decoding, constraint: Constraint | None
) -> Iterator[str]:
    ends, stops = end_ids(model, template), end_strings(model, template, settings.stop)
    tokens: queue.SimpleQueue[int | BaseException | None] = queue.SimpleQueue()
    gone = threading.Event()
    thread = threading.Thread(
        target=_work, args=(prompt, model, settings, ends, stops, constraint, tokens, gone), daemon=True
    )
    thread.start()
    text = Growing(model, prompt.ids, opening(model, template), stops)
    try:
        while (token := tokens.get()) is not None:
            if isinstance(token, BaseException):
                raise token
            if token in ends:
                continue
            if piece := text.add(token):
                yield piece
        if piece := text.rest():
            yield piece
    finally:
        gone.set()
        thread.join()


def _work(
    prompt: Encoded,
    model: LanguageModel,
    settings: Decoding,
    ends: Sequence[int],
    stops: Sequence[str],
    constraint: Constraint | None,
    tokens: queue.SimpleQueue[int | BaseException | None],
    gone: threading.Event,
) -> None:
    try:
        ids_BT, mask_BT = padded_left([prompt.ids], model.pad_id, model.device)
        run(
            model,
            ids_BT,
            mask_BT,
            settings,
            rows=[0],
            ends=ends,
            stops=stops,
            constraint=constraint,
            streamer=_Into(tokens),
            criteria=[Interrupted(gone)],
        )
        tokens.put(None)
    except BaseException as error:  # told where the answer is waited for
        tokens.put(error)


class _Into:
    """A streamer that hands on every token that is written."""

    def __init__(self, tokens: queue.SimpleQueue[int | BaseException | None]) -> None:
        self.tokens, self.prompt_seen = tokens, False

    def put(self, ids: torch.Tensor) -> None:
        """Called first with the prompt, then with each token."""
        if not self.prompt_seen:
            self.prompt_seen = True
            return
        for token in ids.flatten().tolist():
            self.tokens.put(int(token))

    def end(self) -> None:
        """Nothing: the thread says when it is done."""


@dataclass
class Growing:
    """An answer that grows by tokens and gives out what is settled of its text."""

    model: LanguageModel
    before: Sequence[int]
    lead: str
    """What the layout puts before an answer."""
    stops: Sequence[str]
    ids: list[int] = field(default_factory=list)
    given: int = 0
    """Characters of the answer that were given out."""
    stopped: bool = False

    def add(self, token: int) -> str:
        """What one more token settles."""
        self.ids.append(token)
        text = self._text(self.ids)
        settled = text if self.stopped else self._sure(self._text(self.ids[: len(self.ids) - self._open_bytes()]))
        # Spaces at the end are kept back: they belong to the answer only if something follows.
        return self._give(settled.rstrip())

    def rest(self) -> str:
        """What is left once nothing follows."""
        return self._give(self._text(self.ids).rstrip())

    def _open_bytes(self) -> int:
        """Byte tokens at the end: those that follow decide whether they are characters."""
        tokens = self.model.tokenizer.convert_ids_to_tokens(self.ids[-LONGEST_RUN:])
        return next((number for number, one in enumerate(reversed(tokens)) if not BYTE.fullmatch(one)), len(tokens))

    def _text(self, ids: Sequence[int]) -> str:
        text, self.stopped = before_stop(written_text(self.model, self.before, ids), self.stops)
        return text.removeprefix(self.lead).lstrip()

    def _sure(self, text: str) -> str:
        """Without a broken character at the end, and without what may be the beginning of a stop string."""
        text = text.rstrip(BROKEN)
        reach = max((len(stop) - 1 for stop in self.stops), default=0)
        for size in range(min(reach, len(text)), 0, -1):
            if any(stop.startswith(text[-size:]) for stop in self.stops):
                return text[:-size]
        return text

    def _give(self, settled: str) -> str:
        piece = settled[self.given :]
        self.given = max(self.given, len(settled))
        return piece
