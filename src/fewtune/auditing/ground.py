"""The ground that checks stand on: rows, what a backbone says of them, what a fitted model holds of their labels.

Legend: N rows, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from fewtune.audit.base import Ground, Need, Predictions
from fewtune.data.base import Dataset
from fewtune.study.progress import Progress

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fewtune.backbones.encoder import Encoder
    from fewtune.tune.run import Context

LACKING: dict[Need, str] = {
    "labels": "the training rows have no labels",
    "test": "no test file was given (--test FILE)",
    "unlabelled": "no unlabelled file was given (--unlabelled FILE)",
    "others": "no other file was given (--test FILE, --unlabelled FILE)",
    "about": "the task was not described (--about TEXT)",
    "vectors": "no backbone was opened (--no-backbone)",
    "tokens": "no backbone was opened (--no-backbone)",
    "predictions": "no model was fitted (--no-model)",
    "preferences": "the training rows are no preferences",
}
"""Why a need is not met."""
MOST_LEARNT = 4000
"""Rows a fold's probe learns from: beyond, its opinion of a label hardly changes and its cost grows."""
FEW = 1000
"""Below so many rows the folds are dealt three times."""


def lay(
    train: Dataset,
    *,
    test: Dataset | None = None,
    unlabelled: Dataset | None = None,
    about: str | None = None,
    encoder: Encoder | None = None,
    model: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> Ground:
    """The ground for checks: rows, and ways to ask a backbone and a fitted model about them.

    Parameters
    ----------
    encoder : None leaves out every check that needs a backbone.
    model : False leaves out every check that needs predictions.
    """
    from fewtune.methods.class_names import are_words, spoken

    lacking = _lacking(train, encoder)
    predict = None
    if encoder is not None and model and not lacking:

        def predict() -> Predictions:
            return predictions(train, encoder, ground.groups, seed=seed, progress=progress)

    ground = Ground(
        train,
        test,
        unlabelled,
        about,
        seed,
        embed=None if encoder is None else encoder.embed,
        count_tokens=None if encoder is None else encoder.full_lengths,
        most_tokens=None if encoder is None else encoder.max_tokens,
        predict=predict,
        spoken=tuple(map(spoken, train.classes)) if are_words(train.classes) and "labels" not in lacking else (),
        lacking=lacking,
    )
    return ground


def _lacking(train: Dataset, encoder: Encoder | None) -> dict[Need, str]:
    """Why nothing can be predicted of these rows; empty where it can."""
    if train.task == "preference":
        said = "the training rows are preferences, not classes"
        return {"labels": said, "predictions": said}
    if any(example.label is None for example in train) or not len(train):
        return {"predictions": LACKING["labels"]}
    if len(train.classes) < 2:
        return {"predictions": "there is one class only"}
    return {"predictions": LACKING["vectors"]} if encoder is None else {}


def predictions(
    train: Dataset, encoder: Encoder, groups: Sequence[int], *, seed: int = 0, progress: Progress | None = None
) -> Predictions:
    """Out-of-fold probabilities of a probe, judged by the one evaluator on splits such as a fit would take.

    Few rows are dealt three times over: opinions of single rows are steadier then, which a score needs less.
    A fold learns from at most `MOST_LEARNT` rows drawn at random, one of each class at least; every row is answered.
    """
    from fewtune.fitting import choose_splits
    from fewtune.methods.probe import Probe
    from fewtune.recipe import Recipe
    from fewtune.study.evaluator import Evaluator
    from fewtune.study.settings import Settings
    from fewtune.tune.run import Context

    context = Context(train, {encoder.name: encoder}, groups)
    splits = [
        replace(split, train=_at_most(split.train, context, seed))
        for split in choose_splits(context, Settings(seed=seed, repeats=3 if len(train) < FEW else None))
    ]
    progress = progress or Progress()
    progress.start("Asking a probe about rows it has not seen", len(splits))
    oof = Evaluator(context, splits, progress=progress, seed=seed).judge(Recipe(Probe(), encoder.name)).oof
    progress.finish()
    return Predictions(oof.labels_N, oof.mean_probs_NC, encoder.features(train.texts))


def _at_most(rows: NDArray[np.int64], context: Context, seed: int) -> NDArray[np.int64]:
    """`MOST_LEARNT` of the rows, one of each class at least; all where there are no more."""
    if len(rows) <= MOST_LEARNT:
        return rows
    order = np.random.default_rng([seed, len(rows)]).permutation(rows)
    _, first = np.unique(context.labels[order], return_index=True)
    return np.sort(np.concatenate([order[first], np.delete(order, first)])[:MOST_LEARNT])
