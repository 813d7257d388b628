"""Train one run alone: build, step until its course is run, start again when it never left chance, finish."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from fewtune.backbones.portions import Portions
from fewtune.errors import TrainingDiverged
from fewtune.methods.base import Fitted, Material, TunedMethod, Watched
from fewtune.tune.checkpoint import Checkpoint
from fewtune.tune.course import MOST_RESEEDS, Attempt, Course
from fewtune.tune.step import optimiser_for, training_step


def train(
    method: TunedMethod,
    material: Material,
    *,
    watch: Watched | None = None,
    tick: Callable[[], None] | None = None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Build, train and finish one run.

    Parameters
    ----------
    method : what to train.
    material : what it may learn from.
    watch : held-out rows to measure, never to act on.
    tick : called after every step (progress, budget; may raise to interrupt).
    checkpoint : file to go on from where there is one, written now and then; None keeps none.

    Raises
    ------
    TrainingDiverged : the loss was NaN or infinite on every attempt.
    """
    keeper = Checkpoint(checkpoint)
    attempt = Attempt.first(method, material, watch)
    for _ in range(keeper.attempt):
        attempt = attempt.again()
    while True:
        fitted = _attempt(attempt, tick, keeper)
        if fitted is not None:
            keeper.remove()
            return fitted
        if attempt.last:
            raise diverged(method)
        attempt = attempt.again()


def diverged(method: TunedMethod) -> TrainingDiverged:
    """What to say when no attempt gave a finite loss."""
    return TrainingDiverged(
        f"{method.title}: the loss was not a finite number in {MOST_RESEEDS + 1} attempts. Lower its rate."
    )


def _attempt(attempt: Attempt, tick: Callable[[], None] | None, keeper: Checkpoint) -> Fitted | None:
    """One try; None asks for another seed."""
    with torch.random.fork_rng():
        torch.manual_seed(attempt.material.seed)
        tunable = attempt.method.build(attempt.material)
        course = Course(attempt, tunable)
        optimiser = optimiser_for(tunable)
        tunable.train(True)
        keeper.resume(course, optimiser)
        portions, clip_norm = Portions(), attempt.method.clip_norm
        going = course.step < course.total
        while going:
            batch, factor = course.batch(), course.factor
            loss = training_step(tunable, batch, optimiser, factor=factor, clip_norm=clip_norm, portions=portions)
            going = course.see(loss)
            if going:
                keeper.consider(course, optimiser)
            if tick is not None:
                tick()
        if course.failed:
            return None
        tunable.train(False)
        fitted = tunable.finish()
    fitted.log = course.log
    return fitted
