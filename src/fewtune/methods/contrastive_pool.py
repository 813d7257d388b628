"""Contrastive tuning in two rounds, where there are unlabelled texts.

After the first round the frozen encoder and the tuned one, each with a head taught on the pool (`self_training.py`),
label it together. Tuning starts again from the backbone with the surest of it among the pairs; the head is fitted on
the labelled texts alone. What that is worth is measured against one round, its rung below.

Legend: U unlabelled texts, C classes, D width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from fewtune.methods.base import Fitted, Material, PseudoLabelled
from fewtune.methods.contrastive import Contrastive
from fewtune.methods.fitted_body import FittedBody
from fewtune.methods.head_rows import head_rows, settled
from fewtune.methods.self_training import sample_pool, self_train, surest, worse

SECOND_ROUND_ROWS = 512
"""A second round is as long as a first one on so many rows: 60 updates were better than 30 (LAB.md)."""


@dataclass(frozen=True)
class ContrastivePool(Contrastive):
    """Contrastive tuning, then once more from the backbone with unlabelled texts that it is sure of."""

    name: ClassVar[str] = "contrastive_pool"
    title: ClassVar[str] = "Contrastive tuning, again on unlabelled text"
    rung: ClassVar[int] = 4
    """Right above one round, which it is compared with."""
    uses_unlabelled: ClassVar[bool] = True

    rounds: int = 5
    """Times that the heads which label unlabelled texts are taught, as in `self_training`."""
    final_share: float = 0.6
    """Share of each class's pseudo-labelled texts, surest first, that they and the second round learn from."""
    labelled_weight: float = 3.0
    """A labelled row counts this many pseudo-labelled ones where they are taught."""
    pool_limit: int = 2000
    """At most this many unlabelled texts are used, a seeded sample."""

    def longer(self) -> None:
        """Its second round is long already."""

    def total_steps(self, material: Material) -> int:
        """Grows with the labelled rows, within `steps` and `most_steps`; a second round: twice `steps` at least."""
        rows = len(material.texts)
        return self._steps(rows if material.pseudo is None else max(rows, SECOND_ROUND_ROWS))

    def next_round(self, fitted: Fitted, material: Material) -> PseudoLabelled | None:
        """The surest of the unlabelled texts, labelled by the frozen and the tuned encoder together.

        None without such texts, or where the guard of `self_training` finds that they mislead the frozen encoder: the
        tuned one has seen every labelled row, so nothing can be asked of it.
        """
        assert isinstance(fitted, FittedBody)
        pool = sample_pool(material, self.pool_limit)
        if not pool:
            fitted.notes = (*fitted.notes, "no unlabelled text to learn from, no second round")
            return None
        assert material.encoder is not None
        known, settings = settled(material, self)
        frozen_UD = material.encoder.features(pool)
        if worse(self, known, frozen_UD, material, settings):
            fitted.notes = (*fitted.notes, "guard: self-training was worse on inner folds, no second round")
            return None
        reader, classes = fitted.reader, len(material.classes)
        rows = head_rows(material, reader.embed, class_names=True, read_names=reader.directions)
        probs_UC = self_train(self, known, frozen_UD, classes, settings).predict_proba(frozen_UD)
        tuned_UD = reader.embed(pool)
        probs_UC = probs_UC * self_train(self, rows, tuned_UD, classes, settings).predict_proba(tuned_UD)
        chosen, labels, _ = surest(probs_UC / probs_UC.sum(axis=1, keepdims=True), self.final_share)
        return PseudoLabelled([pool[index] for index in chosen], labels)
