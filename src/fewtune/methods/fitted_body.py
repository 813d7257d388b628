"""A tuned body and its head: what every gradient method gives back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fewtune.backbones.body import Body
from fewtune.methods.base import Fitted, FloatArray
from fewtune.methods.head import LinearHead
from fewtune.methods.probe import HEAD_FILE


class FittedBody(Fitted):
    """A tuned body and its head.

    Parameters
    ----------
    run : the slot of the body that is meant. A body with several is lent: ask before another run enters the slot.
    """

    def __init__(self, body: Body, head: LinearHead, *, run: int = 0) -> None:
        self.body, self.head, self.run = body, head, run
        self.trainable_parameters = head.size + body.size(run)

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities from the head on the tuned embeddings."""
        if not texts:
            return np.zeros((0, len(self.head.bias_C)))
        return self.head.predict_proba(self.body.embed(list(texts), run=self.run).cpu().numpy())

    def save(self, folder: Path) -> None:
        """The head, and the body's weights for the model folder's backbone."""
        assert self.body.slots == 1, "one slot of several cannot be saved: refit the run alone"
        self.head.save(folder / HEAD_FILE)
        self.body.save(folder)
