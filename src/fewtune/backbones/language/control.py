"""Control tokens that stand in people's texts, such as `</s>` in a ticket about HTML, are read as the letters they are.

A template's own control tokens stay what they are. Before a text enters a template its control tokens are hidden, each
behind one private character; when the whole is tokenised, the letters are tokenised in the character's place.
"""

from __future__ import annotations

import re
import weakref
from dataclasses import replace
from typing import Any

from fewtune.data.base import Example, Message
from fewtune.data.pairs import PAIR
from fewtune.data.readers.base import sound

FIRST = 0x10F000
"""Of 4,096 characters of the last private plane, which texts do not hold."""
HIDDEN = re.compile(f"([{chr(FIRST)}-{chr(FIRST + 0xFFF)}])")
_known: weakref.WeakKeyDictionary[Any, tuple[str, ...]] = weakref.WeakKeyDictionary()


def control_tokens(tokenizer: Any) -> tuple[str, ...]:
    """Texts that the tokenizer takes for one special token, the longest first."""
    if tokenizer not in _known:
        added = getattr(tokenizer, "added_tokens_decoder", {}).values()
        found = {str(token.content) for token in added if token.special} | set(tokenizer.all_special_tokens)
        _known[tokenizer] = tuple(sorted(found, key=lambda token: (-len(token), token)))[:0xFFF]
    return _known[tokenizer]


def hide(text: str, tokenizer: Any) -> str:
    """The text with a private character for each control token in it."""
    parts = text.split(PAIR)  # whose separator is meant as one
    for number, token in enumerate(control_tokens(tokenizer)):
        parts = [part.replace(token, chr(FIRST + number)) if token in part else part for part in parts]
    return PAIR.join(parts)


def shown(text: str, tokenizer: Any) -> str:
    """What was hidden, as it was."""
    return HIDDEN.sub(lambda found: meant(found[0], tokenizer), text)


def meant(character: str, tokenizer: Any) -> str:
    """The control token behind a private character; the character itself where there is none."""
    known, number = control_tokens(tokenizer), ord(character) - FIRST
    return known[number] if number < len(known) else character


def _sound(example: Example) -> Example:
    """Without halves of characters, which tokenizers refuse: a terminal gives them for bytes that are no text."""
    whole = example.text + (example.completion or "") + "".join(turn.content for turn in example.messages)
    if sound(whole) == whole:
        return example
    completion = None if example.completion is None else sound(example.completion)
    turns = tuple(Message(turn.role, sound(turn.content)) for turn in example.messages)
    return replace(example, text=sound(example.text), completion=completion, messages=turns)


def guarded(example: Example, tokenizer: Any) -> Example:
    """The example with the control tokens in its texts hidden."""
    example = _sound(example)
    texts = [example.text, example.completion or "", *(turn.content for turn in example.messages)]
    if not any(token in text for text in texts for token in control_tokens(tokenizer)):
        return example
    return replace(
        example,
        text=hide(example.text, tokenizer),
        completion=None if example.completion is None else hide(example.completion, tokenizer),
        messages=tuple(Message(turn.role, hide(turn.content, tokenizer)) for turn in example.messages),
    )
