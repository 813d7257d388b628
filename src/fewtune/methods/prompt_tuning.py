"""Prompt tuning: vectors before every text are learned, and the head; the backbone stays as it is.

A prompt is the smallest thing that can be learned inside a backbone (Lester, Al-Rfou and Constant 2021): 5 vectors of
MiniLM are 1,920 numbers. It starts as words, which that paper finds to matter for all but the largest models. The head
starts as a probe on what the backbone says behind the first prompt.

Short, since a small encoder is put off by what stands before its texts: behind 20 untrained vectors a probe on it was 0
to 8 points worse than without, behind 5 up to 5 (three sets, `LAB.md`). The paper's rate, .3, is for Adafactor.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch

from fewtune.backbones.body import Body
from fewtune.backbones.prompts import VECTORS, PromptBody, embedded, room_for_prompts, saved_vectors
from fewtune.errors import UsageError
from fewtune.methods.base import Fitted, Material
from fewtune.methods.class_names import names_to_read
from fewtune.methods.cross_entropy import CrossEntropyMethod, once
from fewtune.methods.fitted_body import FittedBody
from fewtune.methods.head import LinearHead, Vectors
from fewtune.methods.head_rows import HEAD_FILE

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

OPENING = "What is this about?"
"""What a prompt starts from where neither a text was given nor class names say anything."""


@dataclass(frozen=True)
class PromptTuning(CrossEntropyMethod):
    """Cross-entropy tuning of vectors before every text, and of the head."""

    name: ClassVar[str] = "prompt_tuning"
    title: ClassVar[str] = "Prompt tuning"
    rung: ClassVar[int] = 5
    folds_in: ClassVar[bool] = False

    rate: float = 3e-2
    """Peak rate of the vectors."""
    weight_decay: float = 0.0
    tokens: int = 5
    """How many vectors are learned."""
    text: str = ""
    """What they are at first, over and over until all are filled; the class names when empty."""

    def __post_init__(self) -> None:
        if self.tokens < 1:
            raise UsageError(f"prompt_tuning learns 1 vector or more, not {self.tokens}.")

    @property
    def extent(self) -> int:
        """How many vectors."""
        return self.tokens

    @property
    def before(self) -> int:
        """The vectors."""
        return self.tokens

    def stack_key(self) -> Hashable:
        """Prompts may differ in length and beginning."""
        return self.name

    def body(self, encoder: Encoder, seeds: Sequence[int], largest: int | None = None) -> Body:
        """A frozen body with a prompt for each seed. Raises UsageError where the prompt leaves no room for a text."""
        most = room_for_prompts(encoder)
        if self.tokens > most:
            raise UsageError(
                f"prompt_tuning: {self.tokens} vectors leave no room for a text: {encoder.name} has room for {most}. "
                "Set prompt_tuning.tokens lower."
            )
        return PromptBody(encoder, seeds=seeds, tokens=largest or self.tokens)

    def enter(self, body: Body, slot: int, material: Material) -> None:
        """The embeddings of the text a run starts from."""
        assert isinstance(body, PromptBody)
        body.enter(slot, {VECTORS: self.start(material)})

    def start(self, material: Material) -> torch.Tensor:
        """[P, E] the vectors a run starts from."""
        encoder = material.encoder
        assert encoder is not None
        found = _words(self.text or " ".join(names_to_read(material) or ()), encoder) or _words(OPENING, encoder)
        # A tokenizer that makes nothing of the text either leaves what fills packs.
        return embedded(encoder, list(islice(cycle(found or [encoder.pad_id]), self.tokens)))

    def first_head(self, material: Material, body: Body, slot: int) -> LinearHead:
        """A probe on what the backbone says of the rows behind the first prompt; runs that start alike share it."""

        def embed(texts: Sequence[str]) -> Vectors:
            found: Vectors = body.embed(list(texts), run=slot).cpu().numpy()
            return found

        key = (self.head_key(material), self.tokens, self.text)
        return once(key, lambda: self.fit_head(material, embed))

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read head and vectors."""
        assert encoder is not None
        vectors_PE = saved_vectors(folder / "adapter")
        body = PromptBody(encoder, seeds=[0], tokens=len(vectors_PE))
        body.enter(0, {VECTORS: vectors_PE})
        body.requires_grad_(False).eval()
        return FittedBody(body, LinearHead.load(folder / HEAD_FILE))


def _words(text: str, encoder: Encoder) -> list[int]:
    return [int(token) for token in encoder.tokenizer(text, add_special_tokens=False)["input_ids"]]
