"""The training text as blocks of 512 tokens, drawn from the sources by their weights, in an order fixed by the seed.

Shapes: B blocks, T tokens of a block plus the one that follows, W tokens of a window.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import sentences
from tokenizer import asked, render

BLOCK = 512
ONLY_READ = np.uint16(0x8000)
"""Set in a token that is read and not to be foretold: what stands in the prompt of a row made of a sentence, and the
first time in a shuffled block of repeats, nobody could know. It would be most of the loss and teach nothing."""
NO_TARGET = -100
"""In place of the target of such a token, as PyTorch has it."""
REPEATS = "repeats"
"""In a mix: blocks in which pieces of REPEATED_OF come again and again. Running text alone gives a model of this size
no attention head that looks up what followed the last time (Olsson et al. 2022 call them induction heads) within thirty
million tokens; with these blocks one grows."""
REPEATED_OF = "children"
PIECES = (2, 9)
PIECE_TOKENS = (8, 65)
SHUFFLED = 0.5
"""Share of the blocks of repeats whose tokens are shuffled first, so that only the earlier place tells what follows."""
Tokens = npt.NDArray[np.uint16]


def encode(part: Path, tokenizer: Any) -> dict[str, Tokens]:
    """The documents of one part, one after the other, as one row of token numbers a source."""
    documents: dict[str, list[Tokens]] = {}
    with part.open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            documents.setdefault(document["source"], []).append(_encode(document, tokenizer))
    return {source: np.concatenate(rows) for source, rows in documents.items()}


def _encode(document: dict[str, str], tokenizer: Any) -> Tokens:
    # Books go in pieces cut at paragraphs: the merges of a book in one piece need memory out of proportion.
    tokens = np.asarray(
        tokenizer(render(document), add_special_tokens=False, verbose=False)["input_ids"], dtype=np.uint16
    )
    if document["source"] == sentences.SOURCE:
        tokens[: len(tokenizer(asked(document), add_special_tokens=False)["input_ids"])] |= ONLY_READ
    return tokens


class Blocks:
    """Draws blocks; `drawn` counts those taken of each source, so a resumed run takes the next ones.

    The order is that of blocks, never of windows: a stage with shorter windows reads the same text in the same order.
    """

    def __init__(self, tokens: Mapping[str, Tokens], seed: int, drawn: Mapping[str, int] | None = None) -> None:
        self.tokens = {source: tokens[source] for source in sorted(tokens)}
        self.seed = seed
        self.drawn = {source: (drawn or {}).get(source, 0) for source in self.tokens}

    def draw(self, step: int, blocks: int, mix: Mapping[str, float]) -> Tokens:
        """Blocks [B, T + 1] of a step: how many from which source is drawn anew each step, from seed and step alone."""
        generator = np.random.default_rng([self.seed, step])
        sources = [source for source in (*self.tokens, REPEATS) if mix.get(source, 0) > 0]
        weights = np.array([mix[source] for source in sources])
        counts = generator.multinomial(blocks, weights / weights.sum())
        taken = [
            repeated(self._next(REPEATED_OF), generator) if source == REPEATS else self._next(source)
            for source, count in zip(sources, counts, strict=True)
            for _ in range(count)
        ]
        return np.stack([taken[i] for i in generator.permutation(blocks)])

    def _next(self, source: str) -> Tokens:
        tokens = self.tokens[source]
        there = (len(tokens) - 1) // BLOCK
        epoch, position = divmod(self.drawn[source], there)
        self.drawn[source] += 1
        order = np.random.default_rng([self.seed, *source.encode(), epoch]).permutation(there)
        start = int(order[position]) * BLOCK
        return tokens[start : start + BLOCK + 1]


def repeated(block_T: Tokens, generator: np.random.Generator) -> Tokens:
    """Some pieces of a block one after another, then again in any order, as long as the block is."""
    shuffled = generator.random() < SHUFFLED
    if shuffled:
        block_T = generator.permutation(block_T)
    ends = np.cumsum(generator.integers(*PIECE_TOKENS, size=generator.integers(*PIECES)))
    pieces = np.split(block_T[: ends[-1]], ends[:-1])
    again = [pieces[i] for i in generator.integers(len(pieces), size=len(block_T) // PIECE_TOKENS[0] + 1)]
    first = block_T[: ends[-1]] | ONLY_READ if shuffled else block_T[: ends[-1]]
    return np.concatenate([first, *again])[: len(block_T)]


def windows(blocks_BT: Tokens, window: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Inputs and targets [B * T / W, W]: each token's target is the token after it, or NO_TARGET."""
    blocks = (blocks_BT & ~ONLY_READ).astype(np.int64)
    targets = np.where(blocks_BT & ONLY_READ, NO_TARGET, blocks)
    return blocks[:, :-1].reshape(-1, window), targets[:, 1:].reshape(-1, window)
