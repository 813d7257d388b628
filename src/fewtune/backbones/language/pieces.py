"""A marked text as tokens, so that what is trained on is what generation will meet.

A prompt is tokenised alone when an answer is asked for. Where the whole text, tokenised at once, begins with the same
tokens, it is taken as it is; where a token would reach over the border, the text is tokenised in pieces.

Legend: T tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from fewtune.backbones.language.control import HIDDEN, meant
from fewtune.backbones.language.marked import Marked

ANCHORS = ("\n", ".", "a")


def tokenised(marked: Marked, tokenizer: Any) -> tuple[list[int], list[bool]]:
    """[T] token ids without the tokenizer's own special tokens, and which of them count."""
    at_once = getattr(tokenizer, "is_fast", False) and not HIDDEN.search(marked.text)
    whole = _whole(marked, tokenizer) if at_once else None
    return whole if whole is not None else _in_pieces(marked, tokenizer)


def plain_ids(text: str, tokenizer: Any) -> list[int]:
    """Tokens of a text at the beginning of what is read, what was hidden in it spelled out."""
    if not text:
        return []
    ids: list[int] = []
    for number, part in enumerate(HIDDEN.split(text)):
        if number % 2:
            ids += _spelled(meant(part, tokenizer), tokenizer)
        elif part and ids:
            ids += continued(part, tokenizer)
        elif part:
            ids += tokenizer(part, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _spelled(token: str, tokenizer: Any) -> list[int]:
    """Tokens of the letters of a control token."""
    before, both = (
        list(tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        for text in (ANCHORS[0], ANCHORS[0] + token)
    )
    if both[: len(before)] == before:
        return both[len(before) :]
    return list(tokenizer(token, add_special_tokens=False, split_special_tokens=True)["input_ids"])


def with_ends(text: str, tokenizer: Any) -> list[int]:
    """Tokens of a whole text with the special ones the tokenizer puts around it."""
    if not HIDDEN.search(text):
        return list(tokenizer(text, verbose=False)["input_ids"])
    bare, whole = plain_ids("a", tokenizer), list(tokenizer("a")["input_ids"])
    start = next((at for at in range(len(whole)) if whole[at : at + len(bare)] == bare), 0)
    return [*whole[:start], *plain_ids(text, tokenizer), *whole[start + len(bare) :]]


def _whole(marked: Marked, tokenizer: Any) -> tuple[list[int], list[bool]] | None:
    coded = tokenizer(marked.text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    ids, offsets = list(coded["input_ids"]), coded["offset_mapping"]
    counted = [False] * len(ids)
    for start, stop in marked.spans:
        before = plain_ids(marked.text[:start], tokenizer)
        if ids[: len(before)] != before:
            return None
        place = len(before)
        while place < len(ids) and offsets[place][0] < stop:
            counted[place] = True
            place += 1
    return ids, counted


def _in_pieces(marked: Marked, tokenizer: Any) -> tuple[list[int], list[bool]]:
    borders = [0, *(border for span in marked.spans for border in span), len(marked.text)]
    ids: list[int] = []
    counted: list[bool] = []
    for number, (start, stop) in enumerate(pairwise(borders)):
        piece = marked.text[start:stop]
        found = continued(piece, tokenizer) if ids else plain_ids(piece, tokenizer)
        ids += found
        counted += [number % 2 == 1] * len(found)
    return ids, counted


def continued(text: str, tokenizer: Any) -> list[int]:
    """Tokens of a text that goes on from something: without the space some tokenizers put before every text."""
    if not text:
        return []
    alone = plain_ids(text, tokenizer)
    if not _adds_space(tokenizer):
        return alone
    for anchor in ANCHORS:
        before, both = plain_ids(anchor, tokenizer), plain_ids(anchor + text, tokenizer)
        if both[: len(before)] == before:
            return both[len(before) :]
    return alone


def _adds_space(tokenizer: Any) -> bool:
    first = tokenizer.convert_ids_to_tokens(plain_ids("a", tokenizer)[:1])
    return bool(first) and str(first[0]).startswith(("\u2581", "\u0120"))


def chars_of_first(text: str, tokens: int, tokenizer: Any) -> int:
    """How many characters the first `tokens` tokens of a text cover; all of it where it has no more."""
    if not getattr(tokenizer, "is_fast", False):
        ids = plain_ids(text, tokenizer)
        return len(text) if len(ids) <= tokens else max(1, round(len(text) * tokens / len(ids)))
    offsets: Sequence[tuple[int, int]] = tokenizer(
        text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
    )["offset_mapping"]
    return len(text) if len(offsets) <= tokens else int(offsets[tokens][0])
