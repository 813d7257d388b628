"""A fitted method behind its template: it is given texts as people have them, and reads them as it learned them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from fewtune.methods.base import Fitted, FloatArray


class Templated(Fitted):
    """Renders, then asks `inner`."""

    def __init__(self, inner: Fitted, render: Callable[[str], str]) -> None:
        self.inner, self.render = inner, render
        self.log, self.notes, self.trainable_parameters = inner.log, inner.notes, inner.trainable_parameters

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Probabilities of the rendered texts."""
        return self.inner.predict_proba([self.render(text) for text in texts])

    def save(self, folder: Path) -> None:
        """As `inner`; the template stands in the recipe."""
        self.inner.save(folder)
