"""A tuned body and its head: what every gradient method gives back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fewtune.backbones.body import Body
from fewtune.backbones.keep import save_encoder
from fewtune.methods.base import Fitted, FloatArray
from fewtune.methods.head import LinearHead
from fewtune.methods.head_rows import HEAD_FILE, Vectors

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

FROZEN = "frozen"
"""Folder of the encoder whose features stand beside the tuned ones."""


class Reader:
    """What a head on a tuned body reads of a text: the tuned embedding, and the frozen features beside it if asked for.

    Parameters
    ----------
    run : the slot of the body that is meant. A body with several is lent: ask before another run enters the slot.
    beside : the frozen encoder; None: the tuned embedding alone.
    """

    def __init__(self, body: Body, *, run: int = 0, beside: Encoder | None = None) -> None:
        self.body, self.run, self.beside = body, run, beside

    def embed(self, texts: Sequence[str]) -> Vectors:
        """[N, D], or [N, 3D] with the frozen features."""
        tuned: Vectors = self.body.embed(list(texts), run=self.run).cpu().numpy()
        return tuned if self.beside is None else np.concatenate([tuned, self.beside.features(texts)], axis=1)

    def directions(self, texts: Sequence[str]) -> Vectors:
        """Times `embed` of a text, its cosine with each of these: that of frozen embeddings where they are read."""
        if self.beside is None:
            return self.embed(texts)
        frozen = self.beside.directions(texts)
        return np.concatenate([np.zeros((len(frozen), self.beside.width), dtype=np.float32), frozen], axis=1)


class FittedBody(Fitted):
    """A tuned body and its head.

    Parameters
    ----------
    head : as wide as what a `Reader` of these reads.
    run, beside : as a `Reader` has them.
    """

    def __init__(self, body: Body, head: LinearHead, *, run: int = 0, beside: Encoder | None = None) -> None:
        self.body, self.head, self.run, self.beside = body, head, run, beside
        self.trainable_parameters = head.size + body.size(run)

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities from the head on what it reads of the texts."""
        if not texts:
            return np.zeros((0, len(self.head.bias_C)))
        return self.head.predict_proba(Reader(self.body, run=self.run, beside=self.beside).embed(texts))

    def save(self, folder: Path) -> None:
        """The head, the body's weights for the model folder's backbone, and the frozen encoder where it is read."""
        assert self.body.slots == 1, "one slot of several cannot be saved: refit the run alone"
        self.head.save(folder / HEAD_FILE)
        self.body.save(folder)
        if self.beside is not None:
            save_encoder(self.beside, folder / FROZEN)
