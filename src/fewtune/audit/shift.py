"""Whether training, test and unlabelled texts are of one kind.

A classifier is asked to tell two parts apart by their texts, out of fold. If it cannot (an area under the curve of
one half), a score on the one holds for the other as far as texts go. Copies within a part count once, lest the
classifier know them by heart. The interval is DeLong's, its variance times 1 + k/(k − 1) for k folds (Nadeau & Bengio
2003): without that, random draws of ag_news and banking77 (100 against 100 texts up to 300 against 1,500, 120 times
each) are told apart in 4 to 9 % where 2.5 % are meant; with it the interval and the measured spread agree.

Legend: A, B rows of the two parts, D width, W words.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import CALLED, Check, Finding, Ground, Need, Part, Value, Vectors, named
from fewtune.audit.spelling import normalise
from fewtune.chance import area_under_curve, cross_validation_effect
from fewtune.data.base import Dataset

FEWEST = 30
"""Distinct texts of each part below which nothing can be told."""
MOST = 2000
"""Texts a part, drawn with the seed where there are more: enough for an interval of ±0.02."""
FOLDS = 5
SEEN, CLEAR = 0.55, 0.7
"""Lower ends of the interval from which a shift is a note, and a warning."""
WORDS = 10
MOST_DIFFERENT = 0.1
"""Share of labels that would have to change for the class shares to agree, from which they differ."""
SURPRISE = 0.01
DRAWS = 2000
_WORD = re.compile(r"[^\W\d_]{2,}")


@dataclass(frozen=True)
class Told:
    """How well two parts are told apart."""

    auc: float
    low: float
    high: float
    rows: tuple[int, int]
    """Distinct texts looked at."""


class Shift(Check):
    """Differences between training, test and unlabelled texts, and between their class shares."""

    name: ClassVar[str] = "shift"
    title: ClassVar[str] = "Training, test and unlabelled texts alike"
    needs: ClassVar[frozenset[Need]] = frozenset({"others"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Labels first, then each pair of parts that can be told apart."""
        if ground.test is not None:
            yield from _labels(ground.train, ground.test)
        for one, other in combinations([part for part, _ in ground.parts], 2):
            told = tell_apart(ground, one, other)
            if told is not None and told.low >= SEEN:
                yield _texts(ground, one, other, told)


def tell_apart(ground: Ground, one: Part, other: Part) -> Told | None:
    """The area under the curve of a classifier between two parts, out of fold; None where there are too few texts."""
    rng = np.random.default_rng([ground.seed, 17])
    rows_A, rows_B = (_distinct(ground[part], rng) for part in (one, other))
    if min(len(rows_A), len(rows_B)) < FEWEST:
        return None
    if ground.has("vectors"):
        both_ND = np.concatenate([ground.vectors(one)[rows_A], ground.vectors(other)[rows_B]])
    else:
        texts = [ground[part].examples[row].text for part, rows in ((one, rows_A), (other, rows_B)) for row in rows]
        both_ND = _word_vectors(texts)
    is_other_N = np.repeat([False, True], [len(rows_A), len(rows_B)])
    auc, variance = _out_of_fold(both_ND, is_other_N, rng)
    half = 1.96 * np.sqrt(variance)
    return Told(auc, max(0.0, auc - half), min(1.0, auc + half), (len(rows_A), len(rows_B)))


def _distinct(data: Dataset, rng: np.random.Generator) -> NDArray[np.int64]:
    """The first row of each distinct text, a sample where there are many."""
    first: dict[str, int] = {}
    for row, text in enumerate(data.texts):
        first.setdefault(normalise(text), row)
    rows = np.fromiter(first.values(), dtype=np.int64)
    return np.sort(rng.choice(rows, MOST, replace=False)) if len(rows) > MOST else rows


def _word_vectors(texts: Sequence[str]) -> Vectors:
    """Without a backbone: hashed counts of words, of unit length."""
    from sklearn.feature_extraction.text import HashingVectorizer

    found: Vectors = HashingVectorizer(n_features=2048, alternate_sign=False).transform(texts).toarray()
    return found.astype(np.float32)


def _out_of_fold(both_ND: Vectors, is_other_N: NDArray[np.bool_], rng: np.random.Generator) -> tuple[float, float]:
    """The mean of the folds' areas and its variance."""
    from sklearn.linear_model import LogisticRegression

    fold_N = np.empty(len(is_other_N), dtype=np.int64)
    for side in (False, True):
        rows = rng.permutation(np.flatnonzero(is_other_N == side))
        fold_N[rows] = np.arange(len(rows)) % FOLDS
    areas, variances = [], []
    for fold in range(FOLDS):
        held = fold_N == fold
        model = LogisticRegression(max_iter=300).fit(both_ND[~held], is_other_N[~held])
        score_H = model.decision_function(both_ND[held])
        found = area_under_curve(score_H[is_other_N[held]], score_H[~is_other_N[held]])
        areas.append(found.auc)
        # Perfect scores have no variance of their own; the next row may still be wrong.
        variances.append(max(found.variance, 1.0 / held.sum() ** 2))
    return float(np.mean(areas)), float(np.mean(variances)) / FOLDS * cross_validation_effect(FOLDS, 1)


def telling_words(ones: Sequence[str], others: Sequence[str]) -> tuple[list[dict[str, Value]], list[dict[str, Value]]]:
    """Words in clearly more texts of the one part, and of the other, the clearest first, with in how many each is."""
    in_one, in_other = (Counter(word for text in texts for word in _words(text)) for texts in (ones, others))
    words = [word for word in in_one | in_other if in_one[word] + in_other[word] >= 5]
    if not words:
        return [], []
    one_W = np.asarray([in_one[word] for word in words])
    other_W = np.asarray([in_other[word] for word in words])
    pooled_W = (one_W + other_W) / (len(ones) + len(others))
    error_W = np.sqrt(np.maximum(pooled_W * (1 - pooled_W), 1e-9) * (1 / len(ones) + 1 / len(others)))
    z_W = (one_W / len(ones) - other_W / len(others)) / error_W
    least = _least_deviation(len(words))

    def clearest(sign: int) -> list[dict[str, Value]]:
        order = sorted(range(len(words)), key=lambda place: (-sign * z_W[place], words[place]))
        return [
            {"word": words[place], "in_one": int(one_W[place]), "in_other": int(other_W[place])}
            for place in order[:WORDS]
            if sign * z_W[place] > least
        ]

    return clearest(1), clearest(-1)


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.casefold()))


def _least_deviation(words: int) -> float:
    """Standard errors that the largest of so many words passes by chance once in twenty."""
    from scipy import stats

    return float(stats.norm.isf(0.025 / words))


def _texts(ground: Ground, one: Part, other: Part, told: Told) -> Finding:
    ones, others = (ground[part].texts for part in (one, other))
    more_one, more_other = telling_words(ones, others)
    words = "; ".join(
        f"{CALLED[part]} texts more often say " + ", ".join(f"{word['word']!r}" for word in found[:5])
        for part, found in ((one, more_one), (other, more_other))
        if found
    )
    remedy = "label rows of the kind the model will meet"
    if (one, other) == ("train", "unlabelled"):
        remedy = f"{remedy}; if that is the training rows' kind, leave these unlabelled texts out"
    unlike = "A score measured here promises little there" if "test" in (one, other) else "What is learnt from the one"
    return Finding(
        Shift.name,
        "warning" if told.low >= CLEAR else "note",
        f"{CALLED[one].capitalize()} and {CALLED[other]} texts differ: a classifier tells them apart with an area "
        f"under the curve of {told.auc:.2f} (95 % interval {told.low:.2f} to {told.high:.2f}; 0.50 is chance).",
        (f"{unlike}, as the texts are of another kind" if "test" in (one, other) else f"{unlike} may not fit the other")
        + (f": {words}." if words else "."),
        f"Find out what makes {CALLED[one]} and {CALLED[other]} texts differ (source, time, length, language), and "
        f"{remedy}.",
        numbers={
            "parts": [one, other],
            "auc": round(told.auc, 4),
            "low": round(told.low, 4),
            "high": round(told.high, 4),
            "texts_looked_at": list(told.rows),
            "words": {one: more_one, other: more_other},
            "texts": {one: len(ones), other: len(others)},
        },
    )


def _labels(train: Dataset, test: Dataset) -> Iterator[Finding]:
    """Labels of the test rows that training does not know, and class shares that differ."""
    given = [example.label for example in test if example.label is not None]
    known = [example.label for example in train if example.label is not None]
    if not given or not known:
        return
    in_test, in_train = Counter(given), Counter(known)
    unknown = {name: count for name, count in in_test.items() if name not in in_train}
    if unknown:
        listed = ", ".join(f"{name!r} ({count})" for name, count in list(unknown.items())[:10])
        yield Finding(
            Shift.name,
            "blocks",
            f"{sum(unknown.values())} test rows carry a label that no training row has: {listed}.",
            "No model could answer them rightly: they only lower the score. `fewtune fit` refuses such a file.",
            "Correct these labels, or add rows of these classes to the training file.",
            tuple(named("test", example) for example in test if example.label in unknown),
            {"unknown": unknown},
        )
    yield from _shares(in_train, in_test)


def _shares(in_train: Counter[str], in_test: Counter[str]) -> Iterator[Finding]:
    """Class shares that differ by more than drawing rows explains."""
    names = sorted(in_train | in_test)
    one_C, other_C = (np.asarray([counts[name] for name in names]) for counts in (in_train, in_test))
    apart = float(np.abs(one_C / one_C.sum() - other_C / other_C.sum()).sum() / 2)
    if apart < MOST_DIFFERENT:
        return
    p = _chance_of_shares(one_C, other_C)
    if p >= SURPRISE:
        return
    share_C, test_share_C = one_C / one_C.sum(), other_C / other_C.sum()
    worst = int(np.abs(test_share_C - share_C).argmax())
    yield Finding(
        Shift.name,
        "note",
        f"Class shares differ between training and test: {apart:.0%} of the labels would have to change, most for "
        f"{names[worst]!r} ({share_C[worst]:.0%} of training, {test_share_C[worst]:.0%} of test).",
        "Accuracy weighs classes by how often they come, so the score in training and the score on this file measure "
        "different things.",
        "Make the shares those the model will meet, or compare macro F1, which weighs all classes alike.",
        numbers={
            "total_variation": round(apart, 4),
            "p": round(p, 5),
            "train": dict(zip(names, one_C.tolist(), strict=True)),
            "test": dict(zip(names, other_C.tolist(), strict=True)),
        },
    )


def _chance_of_shares(one_C: NDArray[np.int64], other_C: NDArray[np.int64]) -> float:
    """How often rows dealt at random into parts of these sizes differ as much (chi-square, so rare classes count)."""
    both_C = one_C + other_C
    share = one_C.sum() / both_C.sum()
    drawn_SC = np.random.default_rng(0).multivariate_hypergeometric(
        both_C, int(one_C.sum()), size=DRAWS, method="marginals"
    )
    expected_C = np.maximum(both_C * share, 1e-9)
    as_much = ((drawn_SC - expected_C) ** 2 / expected_C).sum(1) >= (
        (one_C - expected_C) ** 2 / expected_C
    ).sum() - 1e-9
    return float((as_much.sum() + 1) / (DRAWS + 1))
