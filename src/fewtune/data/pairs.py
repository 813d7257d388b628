"""Texts of several columns: premise and hypothesis, subject and body.

Such a text is one string, its parts apart by `PAIR`, so that everything that reads texts reads these too. Before a
backbone reads it, its template puts the backbone's own separator tokens (or those asked for) in the place of `PAIR`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

PAIR = " [SEP] "
"""Readable in reports, and what a person types to `fewtune predict`."""
NO_SEPARATOR = "\n"
"""For tokenizers that know no texts of two parts."""


def joined(parts: Sequence[str]) -> str:
    """Parts as one text."""
    return PAIR.join(parts)


def own_separator(tokenizer: Any) -> str:
    """The special tokens that `tokenizer` puts between two texts, as text: `[SEP]`, `</s></s>`."""
    if tokenizer is None:
        return NO_SEPARATOR
    ids = list(tokenizer("a", "b")["input_ids"])
    special = set(tokenizer.all_special_ids) - {tokenizer.unk_token_id}
    words = [place for place, token in enumerate(ids) if token not in special]
    between = [token for token in ids[words[0] : words[-1]] if token in special] if words else []
    return "".join(tokenizer.convert_ids_to_tokens(between)) or NO_SEPARATOR
