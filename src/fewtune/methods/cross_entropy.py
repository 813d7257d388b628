"""What LoRA, top-layers-only and full tuning share: a body, a head started from the probe, cross-entropy.

Starting the head from the probe (LP-FT, Kumar and others 2022) keeps the body from being bent to fit a random head.

Legend: B rows of a batch, D width, N rows, C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from fewtune.backbones.body import Body
from fewtune.backbones.encoder import unit
from fewtune.methods.base import Fitted, IntArray, Material, Tunable, TunedMethod
from fewtune.methods.head import LinearHead
from fewtune.methods.probe import HEAD_FILE, FittedProbe, choose_strength, fit_on, head_rows

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

ROWS_TO_SPARE = 200
"""From this many training rows on, a share is set aside to stop early by; below, every row is worth more in training
and the step count alone decides."""


@dataclass(frozen=True)
class CrossEntropyMethod(TunedMethod):
    """Hyper-parameters of cross-entropy tuning; subclasses say which part of the body moves."""

    rate: float = 5e-5
    """Peak rate of the body."""
    head_rate: float = 1e-3
    """Peak rate of the head, which starts near its optimum."""
    weight_decay: float = 0.01
    batch_size: int = 16
    epochs: float = 6.0
    """Passes over the rows, within `least_steps` and `most_steps`: on little data steps count, not passes."""
    least_steps: int = 40
    most_steps: int = 600
    dropout: float | None = None
    """Overrides the backbone's own dropout when given."""
    label_smoothing: float = 0.0
    class_weights: bool = False
    """Weigh classes inversely to their size."""
    strengths: tuple[float, ...] = (1.0, 10.0, 100.0)
    default_strength: float = 10.0

    @abstractmethod
    def body(self, encoder: Encoder) -> Body:
        """The body with the parts that move unfrozen."""

    def frozen_layers(self, encoder: Encoder) -> int:
        """How many of the lowest layers stay frozen: their states are the prefix all runs share."""
        return 0

    def warm(self, encoder: Encoder, texts: Sequence[str]) -> None:
        """Embeddings for the head, and the states below the live layers."""
        encoder.embed(texts)
        depth = self.frozen_layers(encoder)
        if depth:
            encoder.hidden(texts, depth)

    def total_steps(self, material: Material) -> int:
        """Passes turned into steps."""
        steps = round(self.epochs * len(material.texts) / self.batch_size)
        return int(min(max(steps, self.least_steps), self.most_steps))

    def validation_share(self, material: Material) -> float:
        """A tenth of the rows once there are enough of them and of every class."""
        counts = np.bincount(material.labels)
        enough = len(material.texts) >= ROWS_TO_SPARE and counts[counts > 0].min() >= 4
        return 0.1 if enough else 0.0

    def build(self, material: Material) -> Tunable:
        """Body and head; the head is the probe's."""
        assert material.encoder is not None
        rows = head_rows(material, material.encoder.embed, class_names=True)
        strength = choose_strength(rows, material, self.strengths, self.default_strength)
        return CrossEntropyTunable(self, material, self.body(material.encoder), fit_on(rows, material, strength))

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read the head; `encoder` is the tuned body, opened from the model folder."""
        assert encoder is not None
        return FittedProbe(encoder, LinearHead.load(folder / HEAD_FILE))


class CrossEntropyTunable(Tunable):
    """One run's body and head."""

    def __init__(self, method: CrossEntropyMethod, material: Material, body: Body, head: LinearHead) -> None:
        self.method, self.material, self.body = method, material, body
        if method.dropout is not None:
            set_dropout(body, method.dropout)
        device = body.encoder.device
        self.head = nn.Linear(head.weight_CD.shape[1], head.weight_CD.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(torch.from_numpy(head.weight_CD))
            self.head.bias.copy_(torch.from_numpy(head.bias_C))
        self.head.to(device)
        self.weights_C = self._class_weights().to(device) if method.class_weights else None

    def _class_weights(self) -> torch.Tensor:
        counts_C = np.bincount(self.material.labels, minlength=len(self.material.classes))
        weights_C = len(self.material.labels) / (np.maximum(counts_C, 1) * max(1, (counts_C > 0).sum()))
        return torch.tensor(weights_C, dtype=torch.float32)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The body at its rate, the head at its own."""
        body = [parameter for parameter in self.body.parameters() if parameter.requires_grad]
        decay = self.method.weight_decay
        return [
            {"params": body, "lr": self.method.rate, "weight_decay": decay},
            {"params": list(self.head.parameters()), "lr": self.method.head_rate, "weight_decay": decay},
        ]

    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Shuffled passes over the rows, cut into batches, until the step count is reached."""
        count, size = len(self.material.texts), self.method.batch_size
        queue = np.zeros(0, dtype=np.int64)
        for _ in range(self.method.total_steps(self.material)):
            while len(queue) < min(size, count):
                queue = np.concatenate([queue, rng.permutation(count)])
            yield queue[:size]
            queue = queue[size:]

    def _logits(self, vectors_BD: torch.Tensor) -> torch.Tensor:
        logits_BC: torch.Tensor = self.head(unit(vectors_BD))
        return logits_BC

    def loss(self, indices: IntArray) -> torch.Tensor:
        """Cross-entropy of one batch."""
        labels_B = torch.as_tensor(self.material.labels[indices], device=self.head.weight.device)
        logits_BC = self._logits(self.body([self.material.texts[row] for row in indices]))
        return nn.functional.cross_entropy(
            logits_BC, labels_B, weight=self.weights_C, label_smoothing=self.method.label_smoothing
        )

    @torch.no_grad()
    def evaluation_loss(self, texts: Sequence[str], labels_N: IntArray) -> float:
        """Plain cross-entropy on given rows: no smoothing, no class weights."""
        logits_NC = self._logits(self.body.embed(list(texts)))
        labels = torch.as_tensor(labels_N, device=logits_NC.device)
        return float(nn.functional.cross_entropy(logits_NC, labels))

    def chance_loss(self) -> float | None:
        """The entropy of the training labels: the loss of knowing only the class sizes."""
        shares = np.bincount(self.material.labels) / len(self.material.labels)
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum()) if len(shares) > 1 else None

    def state(self) -> dict[str, torch.Tensor]:
        """Body and head."""
        head = {f"head.{name}": tensor.detach().clone() for name, tensor in self.head.named_parameters()}
        return {**self.body.trained(), **head}

    @torch.no_grad()
    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put back body and head."""
        self.body.load_trained({name: tensor for name, tensor in state.items() if not name.startswith("head.")})
        self.head.weight.copy_(state["head.weight"])
        self.head.bias.copy_(state["head.bias"])

    def train(self, mode: bool) -> None:
        """Dropout on or off."""
        self.body.train(mode)

    def finish(self) -> Fitted:
        """Body and head as they stand."""
        from fewtune.methods.contrastive import FittedBody

        weight_CD = self.head.weight.detach().cpu().numpy().copy()
        return FittedBody(self.body, LinearHead(weight_CD, self.head.bias.detach().cpu().numpy().copy()))


def set_dropout(module: nn.Module, share: float) -> None:
    """Set every dropout of `module`, attention's own included, to `share`."""
    for part in module.modules():
        if isinstance(part, nn.Dropout):
            part.p = share
        for name in ("attention_dropout", "dropout_prob"):
            if isinstance(getattr(part, name, None), float):
                setattr(part, name, share)
