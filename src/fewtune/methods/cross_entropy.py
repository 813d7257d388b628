"""What LoRA, top-layers-only and full tuning share: a body, a head started from the probe, cross-entropy.

Starting the head from the probe (LP-FT, Kumar and others 2022) keeps the body from being bent to fit a random head.

Legend: B rows of a batch, D width, N rows, C classes.
"""

from __future__ import annotations

from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from fewtune.backbones.body import Body
from fewtune.backbones.encoder import unit
from fewtune.methods.base import Fitted, IntArray, Material, Stack, Tunable, TunedMethod
from fewtune.methods.fitted_body import FittedBody
from fewtune.methods.head import LinearHead, Vectors
from fewtune.methods.head_rows import HEAD_FILE, NAME_SCALES, head_rows, settle
from fewtune.methods.passes import in_batches, shuffled
from fewtune.methods.probe import FittedProbe

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

ROWS_TO_SPARE = 200
"""From this many training rows on, a share is set aside to stop early by; below, every row is worth more in training
and the step count alone decides."""


HEADS_KEPT = 64


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
    name_scales: tuple[float, ...] = NAME_SCALES

    @abstractmethod
    def body(self, encoder: Encoder, seeds: Sequence[int], largest: int | None = None) -> Body:
        """The body with the parts that move unfrozen, once a seed; `largest` is the largest `extent` of them."""

    def enter(self, body: Body, slot: int, material: Material) -> None:
        """Put a run's initial weights into a slot of `body`: those of the encoder."""
        body.reset(slot)

    def frozen_layers(self, encoder: Encoder) -> int:
        """How many of the lowest layers stay frozen: their states are the prefix all runs share."""
        return 0

    def warm(self, encoder: Encoder, texts: Sequence[str]) -> None:
        """Embeddings for the head, and the states below the live layers."""
        encoder.embed(texts)
        depth = self.frozen_layers(encoder)
        if depth:
            encoder.prepare(texts, depth)

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
        return self.stack(material.encoder, [self], len(material.classes)).enter(0, self, material)

    def stack(self, encoder: Encoder, methods: Sequence[CrossEntropyMethod], classes: int) -> CrossEntropyStack:
        """Room for one run of each of `methods`."""
        largest = max(method.extent for method in methods)
        return CrossEntropyStack(self.body(encoder, [0] * len(methods), largest), classes)

    def first_head(self, material: Material, body: Body, slot: int) -> LinearHead:
        """The probe's head, its strength chosen inside the fold; runs on the same rows share it."""
        assert material.encoder is not None
        embed = material.encoder.embed
        return once(self.head_key(material), lambda: self.fit_head(material, embed))

    def head_key(self, material: Material) -> Hashable:
        """What the first head depends on."""
        assert material.encoder is not None
        rows = (tuple(material.texts), material.labels.tobytes(), tuple(material.groups or ()), material.seed)
        names = (material.classes, material.names)
        return (material.encoder.fingerprint, rows, names, self.strengths, self.default_strength, self.name_scales)

    def fit_head(self, material: Material, embed: Callable[[Sequence[str]], Vectors]) -> LinearHead:
        """A head on what `embed` makes of the rows."""
        rows = head_rows(material, embed, class_names=True)
        return settle(rows, material, self).fit(rows, len(material.classes))

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read the head; `encoder` is the tuned body, opened from the model folder."""
        assert encoder is not None
        return FittedProbe(encoder, LinearHead.load(folder / HEAD_FILE))


_heads: OrderedDict[Hashable, LinearHead] = OrderedDict()


def once(key: Hashable, fit: Callable[[], LinearHead]) -> LinearHead:
    """The head made for `key`; the settings of a grid start from the same one on the same fold."""
    if key not in _heads:
        _heads[key] = fit()
        if len(_heads) > HEADS_KEPT:
            _heads.popitem(last=False)
    return _heads[key]


class CrossEntropyStack(Stack):
    """Bodies and heads of several runs, [K, …] each."""

    def __init__(self, body: Body, classes: int) -> None:
        self.body, self.slots = body, body.slots
        device = body.encoder.device
        self.weight_KCD = nn.Parameter(torch.zeros(self.slots, classes, body.encoder.width, device=device))
        self.bias_KC = nn.Parameter(torch.zeros(self.slots, classes, device=device))
        self.runs: dict[int, CrossEntropyTunable] = {}

    def enter(self, slot: int, method: CrossEntropyMethod, material: Material) -> CrossEntropyTunable:
        """Begin a run: initial body, the probe's head, its own noise and dropout."""
        self.body.noise.begin(slot, material.seed)
        method.enter(self.body, slot, material)
        self.body.set_dropout(method.dropout, run=slot)
        head = method.first_head(material, self.body, slot)
        with torch.no_grad():
            self.weight_KCD[slot] = torch.from_numpy(head.weight_CD)
            self.bias_KC[slot] = torch.from_numpy(head.bias_C)
        self.runs[slot] = CrossEntropyTunable(self, slot, method, material)
        return self.runs[slot]

    def stacked_groups(self) -> list[list[torch.Tensor]]:
        """The body, then the head."""
        return [list(self.body.moving.values()), [self.weight_KCD, self.bias_KC]]

    def losses(self, batch: Mapping[int, IntArray]) -> dict[int, torch.Tensor]:
        """Cross-entropy of each run's batch."""
        slots = sorted(batch)
        runs = [self.runs[slot] for slot in slots]
        texts = [run.material.texts[row] for run, slot in zip(runs, slots, strict=True) for row in batch[slot]]
        owners = [slot for slot in slots for _ in batch[slot]]
        vectors = torch.split(unit(self.body(texts, owners)), [len(batch[slot]) for slot in slots])
        if self.slots == 1 or self.bias_KC.device.type == "cpu":  # the bits of the run alone, in fewer operations
            owned = zip(runs, vectors, strict=True)
            return {run.slot: self._own_loss(run, vectors_BD, batch[run.slot]) for run, vectors_BD in owned}
        return self._all_losses(vectors, slots, batch)

    def _all_losses(
        self, vectors: Sequence[torch.Tensor], slots: Sequence[int], batch: Mapping[int, IntArray]
    ) -> dict[int, torch.Tensor]:
        """All at once: on a GPU each call costs more than its arithmetic."""
        runs = [self.runs[slot] for slot in slots]
        rows_RBD = nn.utils.rnn.pad_sequence(list(vectors), batch_first=True)
        logits_RBC = self.logits(rows_RBD, slots)
        labels = [torch.as_tensor(run.material.labels[batch[slot]]) for run, slot in zip(runs, slots, strict=True)]
        labels_RB = nn.utils.rnn.pad_sequence(labels, batch_first=True, padding_value=-1).to(logits_RBC.device)
        smoothing_R = logits_RBC.new_tensor([run.method.label_smoothing for run in runs])
        weights_RC = torch.stack([run.weights_C for run in runs])
        losses_R = cross_entropies(logits_RBC, labels_RB, weights_RC, smoothing_R)
        return dict(zip(slots, losses_R, strict=True))

    def _own_loss(self, run: CrossEntropyTunable, vectors_BD: torch.Tensor, rows: IntArray) -> torch.Tensor:
        logits_BC = nn.functional.linear(vectors_BD, self.weight_KCD[run.slot], self.bias_KC[run.slot])
        labels_B = torch.from_numpy(run.material.labels[rows]).to(logits_BC.device)
        weights_C = run.weights_C if run.method.class_weights else None
        return nn.functional.cross_entropy(
            logits_BC.float(), labels_B, weights_C, label_smoothing=run.method.label_smoothing
        )

    def logits(self, rows_RBD: torch.Tensor, slots: Sequence[int]) -> torch.Tensor:
        """[R, B, C] each run's head on its rows."""
        if self.slots == 1:
            return nn.functional.linear(rows_RBD, self.weight_KCD[0], self.bias_KC[0])
        return torch.baddbmm(self.bias_KC[slots].unsqueeze(1), rows_RBD, self.weight_KCD[slots].transpose(1, 2))


def cross_entropies(
    logits_RBC: torch.Tensor, labels_RB: torch.Tensor, weights_RC: torch.Tensor, smoothing_R: torch.Tensor
) -> torch.Tensor:
    """[R] cross-entropy of each run, with class weights and label smoothing as `torch.nn.functional` defines them.

    Parameters
    ----------
    labels_RB : -1 where a run has fewer rows than the longest.
    """
    logs_RBC = logits_RBC.float().log_softmax(-1)
    real_RB = (labels_RB >= 0).to(logs_RBC.dtype)
    chosen_RB1 = labels_RB.clamp(min=0).unsqueeze(-1)
    weight_RB = weights_RC.unsqueeze(1).expand_as(logs_RBC).gather(-1, chosen_RB1).squeeze(-1) * real_RB
    hit_RB = logs_RBC.gather(-1, chosen_RB1).squeeze(-1)
    spread_RB = (logs_RBC * weights_RC.unsqueeze(1)).sum(-1) * real_RB
    hit_R, spread_R = (hit_RB * weight_RB).sum(1), spread_RB.sum(1) / logs_RBC.shape[-1]
    return -((1 - smoothing_R) * hit_R + smoothing_R * spread_R) / weight_RB.sum(1)


class CrossEntropyTunable(Tunable):
    """One run in a stack, of one slot when it is alone."""

    def __init__(self, stack: CrossEntropyStack, slot: int, method: CrossEntropyMethod, material: Material) -> None:
        self.stack, self.slot, self.method, self.material = stack, slot, method, material
        self.body = stack.body
        self.weights_C = self._class_weights().to(stack.weight_KCD.device)

    def _class_weights(self) -> torch.Tensor:
        counts_C = np.bincount(self.material.labels, minlength=len(self.material.classes))
        if not self.method.class_weights:
            return torch.ones(len(counts_C))
        weights_C = len(self.material.labels) / (np.maximum(counts_C, 1) * max(1, (counts_C > 0).sum()))
        return torch.tensor(weights_C, dtype=torch.float32)

    def parameter_groups(self) -> list[dict[str, Any]]:
        """The body at its rate, the head at its own."""
        body, head = self.stack.stacked_groups()
        decay = self.method.weight_decay
        return [
            {"params": body, "lr": self.method.rate, "weight_decay": decay},
            {"params": head, "lr": self.method.head_rate, "weight_decay": decay},
        ]

    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Shuffled passes over the rows, cut into batches, until the step count is reached."""
        count, size = len(self.material.texts), self.method.batch_size
        steps = self.method.total_steps(self.material)
        return in_batches(shuffled(count, rng), size=size, count=count, steps=steps)

    def loss(self, indices: IntArray) -> torch.Tensor:
        """Cross-entropy of one batch."""
        return self.stack.losses({self.slot: indices})[self.slot]

    @torch.no_grad()
    def evaluation_loss(self, texts: Sequence[str], labels_N: IntArray) -> float:
        """Plain cross-entropy on given rows: no smoothing, no class weights."""
        vectors_ND = self.body.embed(list(texts), run=self.slot)
        logits_NC = self.stack.logits(vectors_ND[None], [self.slot])[0]
        return float(nn.functional.cross_entropy(logits_NC, torch.as_tensor(labels_N, device=logits_NC.device)))

    def chance_loss(self) -> float | None:
        """The entropy of the training labels: the loss of knowing only the class sizes."""
        shares = np.bincount(self.material.labels) / len(self.material.labels)
        shares = shares[shares > 0]
        return float(-(shares * np.log(shares)).sum()) if len(shares) > 1 else None

    def state(self) -> dict[str, torch.Tensor]:
        """Body and head."""
        head = {
            "head.weight": self.stack.weight_KCD[self.slot].detach().clone(),
            "head.bias": self.stack.bias_KC[self.slot].detach().clone(),
        }
        return {**self.body.trained(self.slot), **head}

    @torch.no_grad()
    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put back body and head."""
        body = {name: tensor for name, tensor in state.items() if not name.startswith("head.")}
        self.body.load_trained(body, self.slot)
        self.stack.weight_KCD[self.slot].copy_(state["head.weight"])
        self.stack.bias_KC[self.slot].copy_(state["head.bias"])

    def random_state(self) -> Any:
        """The stream of its dropout."""
        return self.body.noise.state(self.slot)

    def load_random_state(self, state: Any) -> None:
        """Put the stream back."""
        self.body.noise.load_state(state, self.slot)

    def train(self, mode: bool) -> None:
        """Dropout on or off."""
        self.body.train(mode)

    def finish(self) -> Fitted:
        """Body and head as they stand."""
        state = self.state()
        head = LinearHead(state["head.weight"].cpu().numpy(), state["head.bias"].cpu().numpy())
        return FittedBody(self.body, head, run=self.slot)
