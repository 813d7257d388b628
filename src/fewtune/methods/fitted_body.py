"""A tuned body and its head: what every gradient method gives back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewtune.backbones.body import Body
from fewtune.backbones.keep import save_encoder
from fewtune.methods.base import Fitted, FloatArray
from fewtune.methods.head import LinearHead, Vectors
from fewtune.methods.head_rows import HEAD_FILE, beside

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

FROZEN = "frozen"
"""Folder of the encoder whose features stand beside the tuned ones."""


class Reader:
    """What a head on a tuned body reads of a text: the tuned embedding, and the frozen features beside it if asked for.

    Parameters
    ----------
    run : the slot of the body that is meant. A body with several is lent: ask before another run enters the slot.
    frozen : the encoder as it was; None: the tuned embedding alone.
    """

    def __init__(self, body: Body, *, run: int = 0, frozen: Encoder | None = None) -> None:
        self.body, self.run, self.frozen = body, run, frozen

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[N, D], or [N, 3D] with the frozen features."""
        return beside(self.body.embed(list(texts), run=self.run).cpu().numpy(), self.frozen, texts)

    def directions(self, texts: Sequence[str]) -> Vectors:
        """Times `embed` of a text, its cosine with each of these: that of frozen embeddings where they are read."""
        if self.frozen is None:
            return self.embed(texts)
        known = self.frozen.directions(texts)
        return np.concatenate([np.zeros((len(known), self.frozen.width), dtype=np.float32), known], axis=1)


class FittedBody(Fitted):
    """A tuned body and its head.

    Parameters
    ----------
    head : as wide as what a `Reader` of these reads.
    run, frozen : as a `Reader` has them.
    """

    def __init__(self, body: Body, head: LinearHead, *, run: int = 0, frozen: Encoder | None = None) -> None:
        self.body, self.head, self.run, self.frozen = body, head, run, frozen
        self.trainable_parameters = head.size + body.size(run)

    @property
    def reader(self) -> Reader:
        """What its head reads with."""
        return Reader(self.body, run=self.run, frozen=self.frozen)

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities from the head on what it reads of the texts."""
        if not texts:
            return np.zeros((0, len(self.head.bias_C)))
        return self.head.predict_proba(self.reader.embed(texts))

    def save(self, folder: Path) -> None:
        """The head, the body's weights for the model folder's backbone, and the frozen encoder where it is read."""
        assert self.body.slots == 1, "one slot of several cannot be saved: refit the run alone"
        self.head.save(folder / HEAD_FILE)
        self.body.save(folder)
        if self.frozen is not None:
            save_encoder(self.frozen, folder / FROZEN)
