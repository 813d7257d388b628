"""Virtual tokens: positions that prompt, prefix and P-tuning put before every text, and that no tokenizer knows.

They take room of the context. What stands left of a text shifts it away from them, so that texts which are written
together must be of one length.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from fewtune.errors import UsageError


def virtual_tokens(model: Any) -> int:
    """How many stand before every text; 0 for all models but those PEFT gave a learned prompt."""
    configs = getattr(model, "peft_config", None)
    if not isinstance(configs, dict):
        return 0
    learned = [config for config in configs.values() if getattr(config, "is_prompt_learning", False)]
    return sum(int(config.num_virtual_tokens) for config in learned)


def of_one_length(lengths: Sequence[int], *, token_budget: int) -> Iterator[list[int]]:
    """Rows in groups of one length, each group of at most `token_budget` tokens."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(length, []).append(row)
    for length, rows in sorted(by_length.items()):
        size = max(1, token_budget // max(1, length))
        for start in range(0, len(rows), size):
            yield rows[start : start + size]


def refuse_choices(model: Any) -> None:
    """Raises UsageError: answers are scored behind a cached prompt, before which PEFT would put its own again."""
    if virtual_tokens(model):
        raise UsageError(
            "A model with a learned prompt (prompt, prefix or P-tuning) cannot choose among given answers. "
            "Let it write, or choose with a model tuned by lora."
        )
