"""Drive a run's steps: watch the loss, keep the best weights, stop early, start again when it never left chance.

The run's own validation rows (a share of its training rows) decide; rows that are only *watched* (the fold's held-out
rows, for the overfitting picture) are measured and never acted on.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from fewtune.data.splits import holdout
from fewtune.errors import TrainingDiverged
from fewtune.methods.base import Fitted, IntArray, Material, TrainingLog, Tunable, TunedMethod
from fewtune.tune.step import optimiser_for, rate_factor, training_step

MEASUREMENTS = 12
"""Times the validation loss is measured over a run."""
MOST_RESEEDS = 2
CHANCE_MARGIN = 0.98
"""A loss above this share of chance after warm-up (and as long again) has not left chance."""


@dataclass(frozen=True)
class Watched:
    """Rows whose loss is measured while training."""

    texts: Sequence[str]
    labels: IntArray


def train(
    method: TunedMethod,
    material: Material,
    *,
    watch: Watched | None = None,
    tick: Callable[[], None] | None = None,
) -> Fitted:
    """Build, train and finish one run.

    Parameters
    ----------
    method : what to train.
    material : what it may learn from.
    watch : held-out rows to measure, never to act on.
    tick : called after every step (progress, budget; may raise to interrupt).

    Raises
    ------
    TrainingDiverged : the loss was NaN or infinite on every attempt.
    """
    rows, own = _set_validation_aside(method, material)
    seed = material.seed
    for attempt in range(MOST_RESEEDS + 1):
        attempted = dataclasses.replace(rows, seed=seed + 7919 * attempt)
        fitted = _attempt(method, attempted, own, watch, tick, last=attempt == MOST_RESEEDS)
        if fitted is not None:
            assert fitted.log is not None
            fitted.log.reseeded = attempt
            return fitted
    raise TrainingDiverged(
        f"{method.title}: the loss was not a finite number in {MOST_RESEEDS + 1} attempts. Lower its rate."
    )


def _set_validation_aside(method: TunedMethod, material: Material) -> tuple[Material, Watched | None]:
    share = method.validation_share(material)
    if share <= 0:
        return material, None
    groups = None if material.groups is None else list(material.groups)
    split = holdout(material.labels.tolist(), groups, share=share, seed=material.seed)
    if not len(split.test):  # each group holds a whole class: none can be spared
        return material, None
    kept = dataclasses.replace(
        material,
        texts=[material.texts[row] for row in split.train],
        labels=material.labels[split.train],
        groups=None if groups is None else [groups[row] for row in split.train],
    )
    return kept, Watched([material.texts[row] for row in split.test], material.labels[split.test])


def _attempt(
    method: TunedMethod,
    material: Material,
    own: Watched | None,
    watch: Watched | None,
    tick: Callable[[], None] | None,
    *,
    last: bool,
) -> Fitted | None:
    """One try; None asks for another seed."""
    with torch.random.fork_rng():
        torch.manual_seed(material.seed)
        tunable = method.build(material)
        log = TrainingLog(validation_on=None if own is None and watch is None else "own" if own else "held_out")
        # The last attempt is trained to its end: labels that hold nothing to learn are a finding, not a failure.
        if not _run_steps(method, material, tunable, log, own, watch, tick, may_give_up=not last):
            return None
        tunable.train(False)
        fitted = tunable.finish()
    fitted.log = log
    return fitted


def _run_steps(
    method: TunedMethod,
    material: Material,
    tunable: Tunable,
    log: TrainingLog,
    own: Watched | None,
    watch: Watched | None,
    tick: Callable[[], None] | None,
    *,
    may_give_up: bool,
) -> bool:
    """Whether the run is worth keeping: False where a loss is no number, or where it has not left chance."""
    total = method.total_steps(material)
    every = max(1, total // MEASUREMENTS)
    measured = own or watch
    keeper = BestKeeper(tunable, patience=method.patience) if own is not None else None
    optimiser = optimiser_for(tunable)
    tunable.train(True)
    for step, indices in enumerate(tunable.batches(np.random.default_rng(material.seed))):
        factor = rate_factor(step, total, method.warmup_share)
        loss = training_step(tunable, indices, optimiser, factor=factor, clip_norm=method.clip_norm)
        log.steps.append(step + 1)
        log.train_loss.append(loss)
        if not math.isfinite(loss):
            return False
        if may_give_up and _stuck(tunable, log.train_loss, total, method.warmup_share):
            return False
        if measured is not None and ((step + 1) % every == 0 or step + 1 == total):
            log.validation_steps.append(step + 1)
            log.validation_loss.append(_measure(tunable, measured))
            if keeper is not None and keeper.see(log):
                break
        if tick is not None:
            tick()
    if keeper is not None:
        keeper.restore(log)
    return True


def _measure(tunable: Tunable, rows: Watched) -> float:
    tunable.train(False)
    # Measuring must not move the run's random stream: watched or not, the same weights come out.
    with torch.random.fork_rng(), torch.no_grad():
        loss = tunable.evaluation_loss(rows.texts, rows.labels)
    tunable.train(True)
    return loss


def _stuck(tunable: Tunable, losses: list[float], total: int, warmup_share: float) -> bool:
    chance = tunable.chance_loss()
    judged_at = max(10, 2 * round(warmup_share * total))
    if chance is None or len(losses) != judged_at or judged_at >= total:
        return False
    return float(np.mean(losses[-max(5, judged_at // 2) :])) > CHANCE_MARGIN * chance


class BestKeeper:
    """Keeps the weights of the lowest validation loss and says when to stop."""

    def __init__(self, tunable: Tunable, *, patience: int) -> None:
        self.tunable, self.patience = tunable, patience
        self.best = math.inf
        self.step: int | None = None
        self.state: dict[str, torch.Tensor] | None = None
        self.waited = 0

    def see(self, log: TrainingLog) -> bool:
        """Look at the newest validation loss; True when `patience` measurements brought nothing better."""
        loss = log.validation_loss[-1]
        if loss < self.best:
            self.best, self.step, self.waited = loss, log.validation_steps[-1], 0
            self.state = self.tunable.state()
            return False
        self.waited += 1
        log.stopped_early = self.waited >= self.patience
        return log.stopped_early

    def restore(self, log: TrainingLog) -> None:
        """Put the best weights back."""
        if self.state is not None:
            self.tunable.load_state(self.state)
            log.best_step = self.step
