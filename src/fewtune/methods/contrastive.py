"""Contrastive body tuning: texts of one class are drawn together, the others apart, then a head is fitted.

The objective is on cosines: mean (1 - cos)^2 over pairs of one class plus mean max(cos, 0)^2 over the rest
(after Tunstall and others 2022, SetFit, whose pairs are sampled one by one; here a batch holds all its pairs).
Class names that point at the right classes say more than that. They stand among the texts as one more example of their
class, and every text is also drawn towards the name of its class, where the frozen encoder reads it, by the
cross-entropy of its cosines with all names: what tuning on a few rows would forget of the names is kept.

Legend: B rows of a batch, D width, N rows, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.encoder import unit
from fewtune.backbones.layers import layer_count
from fewtune.methods.base import LONGER, Fitted, IntArray, Material, Tunable, TunedMethod
from fewtune.methods.class_names import names_to_read, weight
from fewtune.methods.fitted_body import FROZEN, FittedBody, Reader
from fewtune.methods.head import LinearHead
from fewtune.methods.head_rows import HEAD_FILE, NAME_SCALES, head_rows, settled

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

WATCHED_ROWS = 64
"""Training rows that a held-out row is paired with when the loss on it is watched."""


@dataclass(frozen=True)
class Contrastive(TunedMethod):
    """The encoder's upper layers tuned by pairs, a logistic regression on top."""

    name: ClassVar[str] = "contrastive"
    title: ClassVar[str] = "Contrastive body tuning"
    rung: ClassVar[int] = 4

    steps: int = 30
    """Updates at up to 256 rows; more rows get proportionally more, up to `most_steps`."""
    most_steps: int = 120
    batch_size: int = 32
    rate: float = 6e-5
    weight_decay: float = 0.01
    name_pull: float = 1.0
    """What drawing texts to class names weighs beside the pairs while rows are few; less as they grow; 0: never."""
    name_sharpness: float = 20.0
    """What the cosines with the names are multiplied by: what sentence encoders are trained with."""
    frozen_share: float = 0.0
    """Share of the layers, from the bottom, that stay frozen and are computed once for all runs."""
    strengths: tuple[float, ...] = (1.0, 10.0, 100.0)
    default_strength: float = 10.0
    name_scales: tuple[float, ...] = NAME_SCALES
    """These three as the probe has them, and chosen as the probe chooses: the tuned body has seen every row of the
    fold, so nothing can be chosen on it."""
    beside_frozen: bool = True
    """Whether the head reads the frozen features beside the tuned embedding; predicting then takes twice as long."""

    @property
    def called(self) -> str:
        """With its length, where that is not the default: a study may try more."""
        times = self.steps / type(self).steps
        return self.title if times == 1 else f"{self.title}, {times:g} times as long"

    def longer(self) -> Contrastive | None:
        """The same with `LONGER` times the updates; None of what is that already."""
        if self.steps != type(self).steps:
            return None
        return replace(self, steps=LONGER * self.steps, most_steps=LONGER * self.most_steps)

    def total_steps(self, material: Material) -> int:
        """Grows with the labelled rows, within `steps` and `most_steps`."""
        return self._steps(len(material.texts))

    def _steps(self, rows: int) -> int:
        return int(min(max(self.steps * rows / 256, self.steps), self.most_steps))

    def build(self, material: Material) -> Tunable:
        """A private copy of the upper layers."""
        assert material.encoder is not None
        depth = math.floor(self.frozen_share * layer_count(material.encoder.model))
        return ContrastiveTunable(self, material, Body(material.encoder, depth=depth, seeds=[material.seed]))

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read the head; `encoder` is the tuned body, saved as the model folder's own backbone."""
        from fewtune.backbones.load import load_encoder
        from fewtune.methods.probe import FittedProbe

        assert encoder is not None
        frozen = load_encoder(folder / FROZEN) if (folder / FROZEN).exists() else None
        return FittedProbe(encoder, LinearHead.load(folder / HEAD_FILE), frozen=frozen)


class ContrastiveTunable(Tunable):
    """One run's body and pairs."""

    def __init__(self, method: Contrastive, material: Material, body: Body) -> None:
        self.method, self.material, self.body = method, material, body
        self.texts = list(material.texts)
        labels = list(material.labels)
        names = names_to_read(material)
        if names is not None:
            self.texts += names
            labels += range(len(names))
        if material.pseudo is not None:
            self.texts += material.pseudo.texts
            labels += material.pseudo.labels.tolist()
        self.labels_N: IntArray = np.asarray(labels, dtype=np.int64)
        self.pull = method.name_pull * weight(len(material.texts), len(material.classes))
        self.names_CD = self._names_to_near() if self.pull else None

    def _names_to_near(self) -> torch.Tensor | None:
        """[C, D] the names as the frozen encoder reads them; None where they do not point at the right classes."""
        names_CD = head_rows(self.material, self.body.encoder.embed, class_names=True).names_CD
        return None if names_CD is None else torch.as_tensor(names_CD)

    def _nearness(self, vectors_BD: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor | float:
        """The weighted cross-entropy of cosines with the names."""
        if self.names_CD is None:
            return 0.0
        logits_BC = self.method.name_sharpness * vectors_BD @ self.names_CD.to(vectors_BD).T
        return self.pull * torch.nn.functional.cross_entropy(logits_BC, labels_B.to(vectors_BD.device))

    def parameter_groups(self) -> list[dict[str, Any]]:
        """One group: every live layer at the same rate."""
        parameters = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        return [{"params": parameters, "lr": self.method.rate, "weight_decay": self.method.weight_decay}]

    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Class-balanced rows; many classes take turns, at least two rows of each that is present."""
        rows_of = {label: np.flatnonzero(self.labels_N == label) for label in np.unique(self.labels_N)}
        present = np.asarray(list(rows_of), dtype=np.int64)
        width = min(len(present), max(2, self.method.batch_size // 2))
        for _ in range(self.method.total_steps(self.material)):
            chosen = rng.permutation(present)[:width]
            share, left = divmod(self.method.batch_size, width)
            quotas = [share + (place < left) for place in range(width)]
            drawn = [_draw(rng, rows_of[label], quota) for label, quota in zip(chosen, quotas, strict=True)]
            yield np.concatenate(drawn)

    def loss(self, indices: IntArray) -> torch.Tensor:
        """The pair loss of one batch, and how near its texts are to the names."""
        labels_B = torch.as_tensor(self.labels_N[indices])
        vectors_BD = unit(self.body([self.texts[row] for row in indices]))
        same_BB = labels_B[:, None] == labels_B[None, :]
        distinct_BB = ~torch.eye(len(indices), dtype=torch.bool)
        return pair_loss(vectors_BD @ vectors_BD.T, same_BB, distinct_BB) + self._nearness(vectors_BD, labels_B)

    @torch.no_grad()
    def evaluation_loss(self, texts: Sequence[str], labels_N: IntArray) -> float:
        """The pair loss between the given rows and a fixed sample of the training rows, and nearness to the names."""
        sample = np.random.default_rng(self.material.seed).permutation(len(self.texts))[:WATCHED_ROWS]
        anchors_BD = self.body.embed([self.texts[row] for row in sample])
        vectors_ND = self.body.embed(list(texts))
        same_NB = torch.as_tensor(labels_N[:, None] == self.labels_N[sample][None, :])
        pairs = pair_loss(vectors_ND @ anchors_BD.T, same_NB, torch.ones_like(same_NB))
        return float(pairs + self._nearness(vectors_ND, torch.as_tensor(labels_N)))

    def chance_loss(self) -> float | None:
        """Not defined: an untuned sentence encoder starts well below chance."""
        return None

    def state(self) -> dict[str, torch.Tensor]:
        """The live layers."""
        return self.body.trained()

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put back the live layers."""
        self.body.load_trained(state)

    def random_state(self) -> Any:
        """The stream of its dropout."""
        return self.body.noise.state()

    def load_random_state(self, state: Any) -> None:
        """Put the stream back."""
        self.body.noise.load_state(state)

    def train(self, mode: bool) -> None:
        """Dropout on or off."""
        self.body.train(mode)

    def finish(self) -> Fitted:
        """Fit the head, with strength and scale of the names as frozen features have them chosen inside the fold."""
        method, material = self.method, self.material
        _, settings = settled(material, method)
        frozen = self.body.encoder if method.beside_frozen else None
        reader = Reader(self.body, frozen=frozen)
        rows = head_rows(material, reader.embed, class_names=True, read_names=reader.directions)
        fitted = FittedBody(self.body, settings.fit(rows, len(material.classes)), frozen=frozen)
        if material.pseudo is not None:
            fitted.notes = ("tuned again with the unlabelled texts that it was surest of",)
        return fitted


def pair_loss(cosine_NM: torch.Tensor, same_NM: torch.Tensor, counted_NM: torch.Tensor) -> torch.Tensor:
    """Mean (1 - cos)^2 over counted pairs of one class plus mean max(cos, 0)^2 over counted pairs of two."""
    together, apart = same_NM & counted_NM, ~same_NM & counted_NM
    loss = cosine_NM.new_zeros(())
    if bool(together.any()):
        loss = loss + ((1 - cosine_NM[together]) ** 2).mean()
    if bool(apart.any()):
        loss = loss + (cosine_NM[apart].clamp(min=0) ** 2).mean()
    return loss


def _draw(rng: np.random.Generator, rows: IntArray, quota: int) -> IntArray:
    return rng.choice(rows, size=quota, replace=quota > len(rows))
