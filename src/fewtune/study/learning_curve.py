"""A first learning curve: the same splits, learning from growing parts of each training side.

The curve is drawn for the cheapest method that learns (the probe), whose slope answers "do I need more data?" before
any is bought. A power law `a - b * n^-c` carries it forward where the points allow one.

In names, P counts points of the curve, J splits, B bootstraps, S speeds tried.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from fewtune.data.splits import Split
from fewtune.methods.base import IntArray
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.intervals import Interval, accuracy_interval
from fewtune.recipe import Recipe
from fewtune.study.evaluator import Evaluator, derive
from fewtune.tune.run import Run

FloatArray = npt.NDArray[np.float64]

SHARES = (0.3, 0.45, 0.7, 1.0)
LEAST_ROWS = 2
"""Rows a class below which a part of the data says nothing of the curve."""
FORECAST_FACTOR = 2.0
BOOTSTRAPS = 200
MOST_DROP = 50.0
SPEEDS = np.linspace(0.1, 2.0, 191)


@dataclass(frozen=True)
class Point:
    """Accuracy learned from `rows` rows."""

    rows: int
    accuracy: Interval


@dataclass(frozen=True)
class Curve:
    """The points, and what the power law expects at twice the rows that there are."""

    method: str
    points: tuple[Point, ...]
    forecast: Point | None
    gain: Interval | None
    """Accuracy more at the forecast's rows than at all rows there are; None where there is no forecast."""
    sentence: str


def learning_curve(evaluator: Evaluator, recipe: Recipe) -> Curve:
    """Judge `recipe` on growing parts of each split's training rows."""
    labels = evaluator.context.labels
    classes = len(evaluator.context.dataset.classes)
    points, by_split = [], []
    for share in SHARES:
        plan = [_part(evaluator, recipe, split, share) for split in evaluator.splits]
        rows = round(float(np.mean([len(run.train) for run in plan])))
        if rows < LEAST_ROWS * classes:
            continue
        outcomes = evaluator.outcomes(plan)
        held_out = tuple(split.test for split in evaluator.splits)
        oof = OutOfFold(labels, held_out, tuple(o.probs for o in outcomes), evaluator.context.groups)
        interval = accuracy_interval(oof.correct, held_out, rows=len(labels), groups=evaluator.context.groups)
        points.append(Point(rows, interval))
        by_split.append([float(correct.mean()) for correct in oof.correct])
    laws = laws_of([point.rows for point in points], np.asarray(by_split), evaluator.seed)
    if laws is None:
        return Curve(recipe.method.name, tuple(points), None, None, _sentence(recipe.title, points))
    split = evaluator.splits[0]
    stretch = math.sqrt(1 + len(evaluator.splits) * len(split.test) / max(1, len(split.train)))
    forecast, gain = ahead(laws, points[-1], len(labels), stretch)
    sentence = _sentence(recipe.title, points, forecast, gain)
    return Curve(recipe.method.name, tuple(points), forecast, gain, sentence)


def _part(evaluator: Evaluator, recipe: Recipe, split: Split, share: float) -> Run:
    seed = derive(evaluator.seed, split.repeat, split.fold)
    if share == 1.0:
        return Run(recipe, split.train, split.test, seed, watch=split is evaluator.splits[0])
    return Run(recipe, nested_part(evaluator.context.labels, split.train, share, seed), split.test, seed)


def nested_part(labels: IntArray, train: IntArray, share: float, seed: int) -> IntArray:
    """About `share` of `train`, stratified, at least one row a class; a smaller share is a subset of a larger one."""
    order = np.random.default_rng(seed).permutation(train)
    kept: list[int] = []
    for label in np.unique(labels[train]):
        mine = order[labels[order] == label]
        kept += mine[: max(1, round(share * len(mine)))].tolist()
    return np.sort(np.asarray(kept, dtype=np.int64))


def power_law(rows: np.ndarray, top: float, drop: float, speed: float) -> np.ndarray:
    """`top - drop * rows ** -speed`."""
    return np.asarray(top - drop * rows**-speed)


def fit_power_laws(rows_P: FloatArray, scores_BP: FloatArray) -> FloatArray:
    """Top, drop and speed of the power law nearest to each row of scores, by squares: (B, 3).

    The speed is the best of `SPEEDS`. At a given one the law is a line, whose best top in [0, 1] and drop in
    [0, `MOST_DROP`] are known in closed form: the line's own, or the best on an edge of what is allowed.
    """
    x_SP: FloatArray = rows_P ** -SPEEDS[:, None]
    mean_S, mean_B = x_SP.mean(1), scores_BP.mean(1)[:, None]
    products_BS: FloatArray = scores_BP @ x_SP.T
    squares_S, sums_S = (x_SP**2).sum(1), x_SP.sum(1)

    def drop_at(top: float) -> FloatArray:
        drop_BS: FloatArray = (top * sums_S - products_BS) / squares_S
        return drop_BS.clip(0.0, MOST_DROP)

    def top_at(drop: FloatArray | float) -> FloatArray:
        top_BS: FloatArray = mean_B + drop * mean_S
        return top_BS.clip(0.0, 1.0)

    slope_BS = (mean_B * sums_S - products_BS) / (squares_S - len(rows_P) * mean_S**2)
    own_BS = slope_BS.clip(0.0, MOST_DROP)
    drops_KBS = np.stack([own_BS, drop_at(0.0), drop_at(1.0)])
    tops_KBS = np.stack([top_at(own_BS), np.zeros_like(own_BS), np.ones_like(own_BS)])
    missed_KBSP = tops_KBS[..., None] - drops_KBS[..., None] * x_SP - scores_BP[:, None]
    error_BKS = (missed_KBSP**2).sum(-1).swapaxes(0, 1)
    best_B = error_BKS.reshape(len(scores_BP), -1).argmin(1)
    edge_B, speed_B = np.unravel_index(best_B, error_BKS.shape[1:])
    each_B = np.arange(len(scores_BP))
    return np.stack([tops_KBS[edge_B, each_B, speed_B], drops_KBS[edge_B, each_B, speed_B], SPEEDS[speed_B]], axis=1)


def laws_of(rows: Sequence[int], scores_PJ: FloatArray, seed: int) -> FloatArray | None:
    """Power laws (1 + B, 3): of the points, and of each of `BOOTSTRAPS` draws of the splits. None: there is none."""
    if len(rows) < 4 or scores_PJ.shape[1] < 2 or np.mean(scores_PJ[-1]) <= np.mean(scores_PJ[0]):
        return None
    splits = scores_PJ.shape[1]
    picked_BJ = np.random.default_rng(seed).integers(0, splits, (BOOTSTRAPS, splits))
    scores_BP = np.vstack([scores_PJ.mean(1), scores_PJ[:, picked_BJ].mean(2).T])
    return fit_power_laws(np.asarray(rows, dtype=np.float64), scores_BP)


def ahead(laws: FloatArray, last: Point, rows: int, stretch: float) -> tuple[Point, Interval]:
    """Accuracy at twice `rows`, and how much more that is than at `rows`.

    Bootstrapped splits share their rows, so what they spread is stretched as Nadeau and Bengio have it. The accuracy is
    known no better than that of the last point: both uncertainties are joined, as of independent things.
    """
    target = round(FORECAST_FACTOR * rows)

    def told(at: int) -> FloatArray:
        return np.asarray([float(power_law(np.asarray(float(at)), *law)) for law in laws])

    def interval(values: FloatArray, also_low: float, also_high: float, least: float) -> Interval:
        mean, (low, high) = float(values[0]), np.quantile(values[1:], [0.025, 0.975])
        below = math.hypot(stretch * max(0.0, mean - float(low)), also_low)
        above = math.hypot(stretch * max(0.0, float(high) - mean), also_high)
        return Interval(mean, max(least, mean - below), min(1.0, mean + above), 0.95, "power law")

    known = last.accuracy
    accuracy = interval(told(target), known.mean - known.low, known.high - known.mean, 0.0)
    return Point(target, accuracy), interval(told(target) - told(rows), 0.0, 0.0, -1.0)


def _sentence(title: str, points: Sequence[Point], forecast: Point | None = None, gain: Interval | None = None) -> str:
    if len(points) < 2:
        return "Too few rows to draw a learning curve."
    last, first = points[-1], points[0]
    moved = 100 * (last.accuracy.mean - first.accuracy.mean)
    method = title.split(" (")[0].lower()
    told = f"From {first.rows} to {last.rows} rows the accuracy of the {method} moved by {moved:+.1f} points"
    if forecast is None or gain is None:
        return told + "; the points do not carry a forecast."
    low, high = 100 * gain.low, 100 * gain.high
    more = f"{100 * gain.mean:+.1f} ({low:+.1f} to {high:+.1f})"
    return told + f"; with twice your rows, {forecast.rows}, a power law expects {more} more than with all you have."
