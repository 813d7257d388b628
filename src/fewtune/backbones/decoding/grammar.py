"""Answers that must be JSON of a schema, or match a regular expression: llguidance says which tokens may follow.

Legend: B rows, T tokens, V tokens of the vocabulary.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewtune.backbones.decoding.endings import end_ids
from fewtune.backbones.language.model import LanguageModel
from fewtune.data.templates import Template
from fewtune.errors import MissingExtra, UnreadableFile, UsageError

AS_PYTHON_WRITES: dict[str, Any] = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Grammar:
    """A constraint that holds for every answer: the tokens a grammar allows next, and its end where it may end.

    Parameters
    ----------
    grammar : as llguidance writes it; `of_schema` and `of_regex` make one.
    """

    def __init__(self, grammar: str, model: LanguageModel, template: Template | None = None) -> None:
        self._library = _library()
        self._ends = end_ids(model, model.settle(template))
        self._tokens = model.vocabulary
        if not self._ends:
            raise UsageError(f"{model.name} has no token that ends an answer: no answer could be complete.")
        self._known = self._tokenizer(model)
        wrong = self._library.LLMatcher.validate_grammar(grammar, self._known)
        if wrong and not wrong.startswith("WARNING"):
            raise UsageError(f"Answers cannot be held to this: {' '.join(wrong.split())[:300]}")
        self._grammar = grammar

    def _tokenizer(self, model: LanguageModel) -> Any:
        from llguidance import hf

        try:
            return hf.from_tokenizer(model.tokenizer, n_vocab=self._tokens, eos_token=self._ends, slices=[])
        except (ValueError, RuntimeError) as error:
            raise UsageError(
                f"The tokenizer of {model.name} is of a kind that answers cannot be held to a shape with "
                f"({' '.join(str(error).split())[:120]}). Take a model with a byte-level or sentencepiece tokenizer."
            ) from error

    @classmethod
    def of_schema(cls, schema: dict[str, Any], model: LanguageModel, template: Template | None = None) -> Grammar:
        """JSON that a JSON schema describes, with the spaces Python's `json` puts."""
        library = _library()
        try:
            grammar = library.LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=AS_PYTHON_WRITES)
        except ValueError as error:
            raise UsageError(f"This is no JSON schema: {error}.") from error
        return cls(grammar, model, template)

    @classmethod
    def of_regex(cls, regex: str, model: LanguageModel, template: Template | None = None) -> Grammar:
        """Text that a regular expression matches whole."""
        return cls(_library().LLMatcher.grammar_from_regex(regex), model, template)

    def start(self, rows: int) -> GrammarBars:
        """A matcher for each row of a batch."""
        matchers = [self._library.LLMatcher(self._known, self._grammar, log_level=0) for _ in range(rows)]
        return GrammarBars(matchers, self._ends, self._tokens)


class GrammarBars:
    """The constraint at work on one batch."""

    def __init__(self, matchers: Sequence[Any], ends: Sequence[int], tokens: int) -> None:
        self.matchers, self.ends, self.tokens = matchers, ends, tokens
        self.seen = 0

    def __call__(self, written_BT: torch.Tensor, scores_BV: torch.Tensor) -> torch.Tensor:
        """Scores with barred tokens at minus infinity."""
        new = written_BT[:, self.seen :].tolist()
        self.seen = written_BT.shape[1]
        allowed_BV = np.zeros((len(self.matchers), scores_BV.shape[1]), dtype=bool)
        for row, (matcher, ids) in enumerate(zip(self.matchers, new, strict=True)):
            allowed_BV[row] = self._allowed(matcher, ids, scores_BV.shape[1])
        barred_BV = torch.from_numpy(~allowed_BV).to(scores_BV.device)
        return scores_BV.masked_fill(barred_BV, -torch.inf)

    def _allowed(self, matcher: Any, ids: Sequence[int], tokens: int) -> Any:
        """Of one row, after it wrote `ids`; a row that has ended may only end."""
        if not matcher.is_stopped() and ids:
            matcher.consume_tokens([token for token in ids if token not in self.ends])
        allowed = np.zeros(tokens, dtype=bool)
        if not matcher.is_stopped():
            bits = np.frombuffer(matcher.compute_bitmask(), dtype=np.uint8)
            known = np.unpackbits(bits, bitorder="little")[:tokens].astype(bool)
            allowed[: len(known)] = known
        if matcher.is_stopped() or not allowed.any():
            allowed[list(self.ends)] = True
        return allowed


def read_schema(path: Path) -> dict[str, Any]:
    """A JSON schema from a file. Raises UnreadableFile."""
    remedy = 'Give a JSON schema, such as {"type": "object", "properties": {"name": {"type": "string"}}}.'
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        what = "There is no such file." if isinstance(error, FileNotFoundError) else f"This is no JSON ({error})."
        raise UnreadableFile(what, file=path, remedy=remedy) from error
    if not isinstance(plain, dict):
        raise UnreadableFile("This is no JSON schema: an object is needed.", file=path, remedy=remedy)
    return plain


def _library() -> Any:
    try:
        import llguidance
    except ImportError as error:
        raise MissingExtra("llguidance", "constrain", "Holding answers to a JSON schema") from error
    return llguidance
