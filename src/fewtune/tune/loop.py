"""Train one run alone: build, step until its course is run, start again when it never left chance, finish.

A method may ask for a second round, on what the first has labelled: it starts from the backbone again, and what it
gives is the result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from fewtune.backbones.noise import own_stream
from fewtune.errors import TrainingDiverged
from fewtune.methods.base import Fitted, Material, TunedMethod, Watched
from fewtune.tune.checkpoint import Checkpoint
from fewtune.tune.course import MOST_RESEEDS, Attempt, Course
from fewtune.tune.rounds import SecondRound
from fewtune.tune.saver import Saver, memory_told
from fewtune.tune.step import optimiser_for, training_step
from fewtune.tune.thrift import Thrift

NOISE_APART = 104_729


def train(
    method: TunedMethod,
    material: Material,
    *,
    watch: Watched | None = None,
    tick: Callable[[], None] | None = None,
    checkpoint: Path | None = None,
    thrift: Thrift | None = None,
) -> Fitted:
    """Build, train and finish one run.

    Parameters
    ----------
    method : what to train.
    material : what it may learn from.
    watch : held-out rows to measure, never to act on.
    tick : called after every step (progress, budget; may raise to interrupt).
    checkpoint : file to go on from where there is one, written now and then; None keeps none.
    thrift : how a step is made to fit memory.

    Raises
    ------
    TrainingDiverged : the loss was NaN or infinite on every attempt, and on the last before anything was learnt.
    OutOfMemory : a single row does not fit, whatever is saved.
    """
    how = (watch, tick, thrift or Thrift())
    second = SecondRound(checkpoint)
    pseudo = second.begun()
    if pseudo is None:
        fitted = _round(method, material, *how, checkpoint)
        pseudo = method.next_round(fitted, material)
        if pseudo is None:
            return fitted
        del fitted
        second.begin(pseudo)
    fitted = _round(method, replace(material, unlabelled=(), pseudo=pseudo), *how, second.checkpoint)
    second.remove()
    return fitted


def _round(
    method: TunedMethod,
    material: Material,
    watch: Watched | None,
    tick: Callable[[], None] | None,
    thrift: Thrift,
    checkpoint: Path | None,
) -> Fitted:
    keeper = _keeper(checkpoint, material)
    attempt = Attempt.first(method, material, watch)
    for _ in range(keeper.attempt):
        attempt = attempt.again()
    while True:
        fitted = _attempt(attempt, tick, keeper, thrift)
        if fitted is not None:
            keeper.remove()
            return fitted
        if attempt.last:
            raise diverged(method)
        attempt = attempt.again()


def _keeper(path: Path | None, material: Material) -> Checkpoint:
    """Of a run alone, or of one that several processes share."""
    model = material.language_model
    if model is None or model.team is None:
        return Checkpoint(path)
    from fewtune.tune.shared_checkpoint import SharedCheckpoint

    return SharedCheckpoint(path, model.team)


def diverged(method: TunedMethod) -> TrainingDiverged:
    """What to say when no attempt gave a finite loss."""
    return TrainingDiverged(
        f"{method.title}: the loss was not a finite number in {MOST_RESEEDS + 1} attempts. Lower its rate."
    )


def _rank(material: Material) -> int:
    team = None if material.language_model is None else material.language_model.team
    return 0 if team is None else team.rank


def _agreement(material: Material) -> Callable[[Any], Any]:
    """What all processes of a run take, where each has found something of its own."""
    team = None if material.language_model is None else material.language_model.team
    return (lambda found: found) if team is None else team.agree


def _alone(material: Material) -> bool:
    return material.language_model is None or material.language_model.team is None


def _attempt(attempt: Attempt, tick: Callable[[], None] | None, keeper: Checkpoint, thrift: Thrift) -> Fitted | None:
    """One try; None asks for another seed."""
    alone = _alone(attempt.material)
    with own_stream(), memory_told(alone=alone):
        torch.manual_seed(attempt.material.seed)
        tunable = attempt.method.build(attempt.material)
        if not alone:  # processes that work on different rows draw different noise
            torch.manual_seed(attempt.material.seed + NOISE_APART * _rank(attempt.material))
        course = Course(attempt, tunable)
        optimiser = optimiser_for(tunable)
        tunable.train(True)
        keeper.resume(course, optimiser)
        batch_size = int(getattr(attempt.method, "batch_size", 1))
        saver = Saver(thrift, tunable, batch_size, alone=alone, agree=_agreement(attempt.material))
        options: dict[str, Any] = {"clip_norm": attempt.method.clip_norm, "portions": saver.portions}
        going = course.step < course.total
        while going:
            batch, factor = course.batch(), course.factor
            loss = training_step(tunable, batch, optimiser, factor=factor, **options)
            going = course.see(loss)
            if going:
                keeper.consider(course, optimiser)
            if tick is not None:
                tick()
        if course.failed and not course.keep_last_good():
            return None
        tunable.train(False)
        fitted = tunable.finish()
    fitted.log = course.log
    fitted.notes = (*fitted.notes, *course.notes, *saver.notes)
    return fitted
