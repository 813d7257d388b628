"""One run under way: its batches, its rate, what it has seen, and whether it goes on.

The same for a run alone and for one among others: who takes the steps (`tune/loop.py`, `tune/stack.py`) asks for a
batch, takes the step, and says what the loss was.

The run's own validation rows (a share of its training rows) decide; rows that are only *watched* (the fold's held-out
rows, for the overfitting picture) are measured and never acted on.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from fewtune.backbones.noise import own_stream
from fewtune.data.splits import holdout
from fewtune.methods.base import IntArray, Material, TrainingLog, Tunable, TunedMethod, Watched
from fewtune.tune.step import rate_factor

MEASUREMENTS = 12
"""Times the validation loss is measured over a run."""
MOST_RESEEDS = 2
CHANCE_MARGIN = 0.98
"""A loss above this share of chance after warm-up (and as long again) has not left chance."""


@dataclass(frozen=True)
class Attempt:
    """What a run trains on, with the seed of its first, second or third try."""

    method: TunedMethod
    material: Material
    """Without the rows set aside."""
    own: Watched | None
    """Rows set aside, which decide when to stop."""
    watch: Watched | None
    """Held-out rows, measured only."""
    number: int = 0

    @classmethod
    def first(cls, method: TunedMethod, material: Material, watch: Watched | None) -> Attempt:
        """Set validation rows aside where the method asks for them."""
        rows, own = set_validation_aside(method, material)
        return cls(method, rows, own, watch)

    @property
    def last(self) -> bool:
        """Whether there is no other after it: labels that hold nothing to learn are a finding, not a failure."""
        return self.number == MOST_RESEEDS

    def again(self) -> Attempt:
        """The next try, with another seed."""
        assert not self.last
        material = dataclasses.replace(self.material, seed=self.material.seed + 7919)
        return dataclasses.replace(self, material=material, number=self.number + 1)


class Course:
    """The steps of one attempt.

    After each step, `see` says whether to go on. When it says no: `failed` asks for another attempt, else the run is
    complete and its best weights are in place.
    """

    def __init__(self, attempt: Attempt, tunable: Tunable) -> None:
        self.attempt, self.tunable = attempt, tunable
        self.method = attempt.method
        self.measured = attempt.own or attempt.watch
        on = None if self.measured is None else "own" if attempt.own else "held_out"
        self.log = TrainingLog(validation_on=on, reseeded=attempt.number)
        self.keeper = BestKeeper(tunable, patience=self.method.patience) if attempt.own is not None else None
        self.total = self.method.total_steps(attempt.material)
        self.every = max(1, self.total // MEASUREMENTS)
        self.good = LastGood(tunable)
        self.notes: tuple[str, ...] = ()
        """What a person should know of how it went."""
        self.failed = False
        self._batches = tunable.batches(np.random.default_rng(attempt.material.seed))

    @property
    def step(self) -> int:
        """Steps taken."""
        return len(self.log.steps)

    def batch(self) -> IntArray:
        """The rows of the next step."""
        return next(self._batches)

    @property
    def factor(self) -> float:
        """The share of the peak rate of the next step."""
        return rate_factor(self.step, self.total, self.method.warmup_share)

    def see(self, loss: float) -> bool:
        """Take note of a step's loss; False when it was the last step."""
        step = self.step + 1
        self.log.steps.append(step)
        self.log.train_loss.append(loss)
        if not math.isfinite(loss) or (not self.attempt.last and self._stuck()):
            self.failed = True
            return False
        self.good.see(step, due=step % self.every == 0)
        if self.measured is not None and (step % self.every == 0 or step == self.total):
            self.log.validation_steps.append(step)
            self.log.validation_loss.append(measure(self.tunable, self.measured))
            if self.keeper is not None and self.keeper.see(self.log):
                return self._finish()
        return step < self.total or self._finish()

    def _finish(self) -> bool:
        if self.keeper is not None:
            self.keeper.restore(self.log)
        return False

    def keep_last_good(self) -> bool:
        """Of a loss that is no number: on the last attempt, put back the last weights that gave one; False for none.

        An attempt that is not the last fails whole: with another seed the course may be run to its end.
        """
        if not self.attempt.last:
            return False
        broke = self.step
        if self.keeper is not None and self.keeper.state is not None:
            self.keeper.restore(self.log)
        elif not self.good.restore(self.log):
            return False
        self.failed = False
        said = f"The loss of step {broke} of {self.total} was not a finite number, and training stopped there. "
        self.notes = (
            f"{said}The weights of step {self.log.best_step}, the last good ones, were kept. Lower the rate.",
        )
        return True

    def _stuck(self) -> bool:
        judged_at = max(10, 2 * round(self.method.warmup_share * self.total))
        if self.step != judged_at or judged_at >= self.total:
            return False
        chance = self.tunable.chance_loss()
        if chance is None:
            return False
        return float(np.mean(self.log.train_loss[-max(5, judged_at // 2) :])) > CHANCE_MARGIN * chance

    def skip(self, steps: int) -> None:
        """Pass over the batches of steps that were taken before an interruption."""
        for _ in range(steps):
            self.batch()

    def state(self) -> dict[str, Any]:
        """All but tensors of where it stands, as plain values; the keeper's tensors are the caller's to keep."""
        kept = None if self.keeper is None else self.keeper.plain()
        return {"log": dataclasses.asdict(self.log), "keeper": kept}

    def load_state(self, state: dict[str, Any], best: dict[str, torch.Tensor] | None) -> None:
        """Go on from what `state` gave."""
        self.log = TrainingLog(**state["log"])
        self.skip(self.step)
        if self.keeper is not None:
            self.keeper.load(state["keeper"], best)


def set_validation_aside(method: TunedMethod, material: Material) -> tuple[Material, Watched | None]:
    """The rows left to train on, and those to stop early by."""
    share = method.validation_share(material)
    if share <= 0:
        return material, None
    groups = None if material.groups is None else list(material.groups)
    split = holdout(material.labels.tolist(), groups, share=share, seed=material.seed)
    if not len(split.test):  # each group holds a whole class: none can be spared
        return material, None
    aside = material.subset(split.test)
    return material.subset(split.train), Watched(aside.texts, aside.labels, aside.examples)


def measure(tunable: Tunable, rows: Watched) -> float:
    """The loss on `rows`, in evaluation mode."""
    tunable.train(False)
    # Measuring must not move the run's random stream: watched or not, the same weights come out.
    with own_stream(), torch.no_grad():
        loss = tunable.watched_loss(rows)
    tunable.train(True)
    return loss


class LastGood:
    """Weights from before a loss went wrong.

    That the weights after a step are good is known once the next step's loss is a number: till then they only might be.
    """

    def __init__(self, tunable: Tunable) -> None:
        self.tunable = tunable
        self.good: tuple[int, dict[str, torch.Tensor]] | None = None
        self.maybe: tuple[int, dict[str, torch.Tensor]] | None = None

    def see(self, step: int, *, due: bool) -> None:
        """After a step whose loss was a number; when it is `due`, the weights as they now stand are kept."""
        if self.maybe is not None:
            self.good, self.maybe = self.maybe, None
        if due:
            self.maybe = (step, self.tunable.state())

    def restore(self, log: TrainingLog) -> bool:
        """Put the last good weights back; False where there are none."""
        if self.good is None:
            return False
        log.best_step, state = self.good
        self.tunable.load_state(state)
        return True


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

    def plain(self) -> dict[str, Any]:
        """All but the tensors."""
        return {"best": None if math.isinf(self.best) else self.best, "step": self.step, "waited": self.waited}

    def load(self, plain: dict[str, Any], state: dict[str, torch.Tensor] | None) -> None:
        """Go on from what `plain` gave, with the tensors kept beside it."""
        self.best = math.inf if plain["best"] is None else float(plain["best"])
        self.step, self.waited, self.state = plain["step"], plain["waited"], state
