"""How tokens are chosen, as one value."""

from __future__ import annotations

from dataclasses import dataclass

from fewtune.errors import UsageError

MOST_STOPS = 16


@dataclass(frozen=True)
class Decoding:
    """How tokens are chosen. As it stands: always the likeliest (greedy), 256 at most."""

    max_new_tokens: int = 256
    """Most tokens of an answer."""
    temperature: float = 0.0
    """0 takes the likeliest token; 1 draws as the model says; between, nearer to the likeliest."""
    top_p: float = 1.0
    """Draw among the likeliest tokens that together have this probability."""
    top_k: int = 0
    """Draw among this many of the likeliest tokens; 0 for all."""
    repetition_penalty: float = 1.0
    """Above 1, tokens that stand in the prompt or the answer become less likely (Keskar and others 2019)."""
    stop: tuple[str, ...] = ()
    """An answer ends where one of these would begin."""
    seed: int = 0
    """Of the draws. Each row draws by itself: the same seed and row give the same text, whoever shares the batch."""

    def __post_init__(self) -> None:
        wrong = {
            f"max_new_tokens is {self.max_new_tokens}: give 1 or more.": self.max_new_tokens < 1,
            f"temperature is {self.temperature}: give 0 or more, at most 100.": not 0 <= self.temperature <= 100,
            f"top_p is {self.top_p}: give more than 0, at most 1.": not 0 < self.top_p <= 1,
            f"top_k is {self.top_k}: give 1 or more, or 0 for all tokens.": self.top_k < 0,
            f"repetition_penalty is {self.repetition_penalty}: give more than 0, 1 for none.": not (
                0 < self.repetition_penalty < 1000
            ),
            "A stop string is empty: every answer would end before it begins.": "" in self.stop,
            f"{len(self.stop)} stop strings: give at most {MOST_STOPS}.": len(self.stop) > MOST_STOPS,
            f"seed is {self.seed}: give 0 or more.": self.seed < 0,
        }
        for said, holds in wrong.items():
            if holds:
                raise UsageError(said)

    @property
    def greedy(self) -> bool:
        """Whether nothing is drawn."""
        return self.temperature == 0
