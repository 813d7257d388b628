"""The ladder: climb from cheap to costly while the budget lasts; every rung is judged on the same resamples.

The headline score is not the winner's own. In each split the choice is made again from the rows outside that split's
test part, and the rung chosen there is the one whose predictions count: what is scored is the whole procedure,
choosing included (Varma and Simon 2006; the inner resamples are the other folds, so nothing is trained twice).
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from fewtune.data.base import Task
from fewtune.errors import BackboneDamaged, OutOfMemory, TrainingDiverged
from fewtune.methods.base import LONGER, Method, TunedMethod
from fewtune.methods.registry import method_class, names
from fewtune.metrics.base import OutOfFold
from fewtune.recipe import Recipe
from fewtune.study.budget import Budget, BudgetSpent
from fewtune.study.choice import FIRST_STAGE, Belief, Candidate, choose, goes_on_from
from fewtune.study.epochs import to_try
from fewtune.study.evaluator import Evaluator, Judged
from fewtune.study.rung import Rung

ALWAYS = ("majority", "probe")
"""Judged whatever methods are asked for and however little time is given: what everything is held against."""
ALWAYS_WRITING = ("zero_shot", "few_shot")
"""Likewise where texts are written."""
ALWAYS_PREFERRING = (FIRST_STAGE,)
"""Likewise where preferences are learned."""
ON_WRITERS = ("probe", "self_training", "top_layers")
"""Of the methods for encoders, those tried unasked with a model that writes: its states lie where they were put to tell
the next word, so a class name's vector is near no text's, and what bends a whole body is dear."""
SAFETY = 1.25
"""Estimates are stretched by this, so that the budget is kept."""
CURVE_SHARE = 1.2
"""Cost of the learning curve in probe rungs: parts of 0.3, 0.45 and 0.7 of the rows."""
REPORT_SECONDS = 5.0
"""Held back for calibration, report and files."""


@dataclass(frozen=True)
class Climb:
    """What climbing gave."""

    rungs: tuple[Rung, ...]
    judged: tuple[int, ...]
    """Places of the judged rungs in `rungs`."""
    winner: int
    """Place of the winner in `rungs`."""
    beliefs: tuple[Belief, ...]
    """One a judged rung."""
    headline: OutOfFold
    """Predictions of the procedure, choice included."""
    chosen: tuple[int, ...] = field(default=())
    """The rung chosen inside each split."""

    @property
    def winning(self) -> Judged:
        """The winner and its outcomes."""
        judged = self.rungs[self.winner].judged
        assert judged is not None
        return judged


def default_rungs(
    backbones: Sequence[str],
    *,
    unlabelled: bool,
    task: Task = "classification",
    asked: Sequence[str] = (),
    encoders: Collection[str] | None = None,
    writers: Collection[str] = (),
) -> list[Recipe]:
    """Every method that applies, simplest first; for several backbones (small to large) each method of one, then the
    methods of the next. Some stand beside the ladder until they are `asked` for by name.

    Parameters
    ----------
    encoders : where classes are told apart, the backbones that embed; all of them when not given.
    writers : likewise, those that write.
    """
    classes = [method_class(name, task) for name in names(task, asked)]
    recipes = [Recipe(cls(), backbones[0]) for cls in classes if not cls.reads_text]
    for backbone in backbones:
        recipes += [
            Recipe(cls(), backbone)
            for cls in sorted((c for c in classes if c.reads_text), key=lambda c: c.rung)
            if (unlabelled or not cls.uses_unlabelled)
            and (task != "classification" or _reads(cls, backbone, encoders, writers, asked))
        ]
    return recipes


def _reads(
    cls: type[Method], backbone: str, encoders: Collection[str] | None, writers: Collection[str], asked: Sequence[str]
) -> bool:
    """Whether a method is tried with a backbone, by what the backbone can do."""
    if cls.reads_with == "language_model":
        return backbone in writers
    if encoders is not None and backbone not in encoders:
        return False
    return backbone not in writers or cls.name in (*ON_WRITERS, *asked)


def climb(evaluator: Evaluator, recipes: Sequence[Recipe]) -> Climb:
    """Judge the rungs in order, choose, and score the choosing.

    Parameters
    ----------
    evaluator : with its splits, store and budget.
    recipes : simplest first; `ALWAYS` of the first backbone are judged whatever the budget.
    """
    rungs: list[Rung] = []
    always: tuple[str, ...] = ALWAYS_WRITING if evaluator.context.writes else ALWAYS
    always = ALWAYS_PREFERRING if evaluator.context.dataset.task == "preference" else always
    first = {name: next((recipe for recipe in recipes if recipe.method.name == name), None) for name in always}
    took: dict[tuple[str | None, str], float] = {}
    for recipe in recipes:
        at_least = 2 * took.get((goes_on_from(recipe.method.name), recipe.backbone), 0.0)  # that again, and a step more
        started = time.perf_counter()
        for rung in lengths(evaluator, recipe, must=recipe is first.get(recipe.method.name), at_least=at_least):
            took.setdefault((recipe.method.name, recipe.backbone), time.perf_counter() - started)
            rungs.append(rung)
            evaluator.budget.reserve = reserve(evaluator, rungs) + _apart(evaluator, rungs)
    return _conclude(evaluator, rungs)


def lengths(evaluator: Evaluator, recipe: Recipe, *, must: bool = False, at_least: float = 0.0) -> Iterator[Rung]:
    """A recipe judged and, of a method that takes epochs, as many more or fewer of them as are worth a look, with
    phrases exchanged where that helps; of a tuned encoder, more updates where its loss has not settled.

    Parameters
    ----------
    must : whether the first is judged whatever the budget.
    at_least : seconds that it is known to take.
    """
    tried: list[Rung] = []
    another: Recipe | None = recipe
    while another is not None:
        tried.append(_judge(evaluator, another, must=must and another is recipe, at_least=at_least))
        yield tried[-1]
        another = to_try(tried, evaluator.context.dataset.examples)
        if tried[0].judged is not None and recipe.method.task == "classification":
            at_least = LONGER * tried[0].judged.seconds


def _apart(evaluator: Evaluator, rungs: Sequence[Rung]) -> float:
    """What tuning each of several tasks alone will cost (`study/tasks.py`): about two lengths of the dearest rung."""
    mix = evaluator.context.mix
    if mix is None or len(mix.names) < 2:
        return 0.0
    return 2 * SAFETY * max((rung.judged.seconds for rung in rungs if rung.judged is not None), default=0.0)


def reserve(evaluator: Evaluator, rungs: Sequence[Rung]) -> float:
    """What must still be paid: the refit, as dear as the dearest rung's run; the learning curve; report and files."""
    judged = [rung.judged for rung in rungs if rung.judged is not None]
    refit = max((one.seconds / len(evaluator.splits) for one in judged), default=0.0)
    curve = next((one.seconds for one in judged if one.recipe.method.name == "probe"), 0.0)
    return SAFETY * (refit + curve * CURVE_SHARE) + REPORT_SECONDS


def _judge(evaluator: Evaluator, recipe: Recipe, *, must: bool, at_least: float = 0.0) -> Rung:
    budget = evaluator.budget
    if budget.left <= 0 and not must:
        return Rung(recipe, reason="the budget was spent before it")
    evaluator.progress.start(recipe.title, len(evaluator.splits))
    try:
        evaluator.budget = Budget(None) if must else budget
        judged = evaluator.judge(recipe, at_least=at_least)
    except BudgetSpent:
        evaluator.progress.finish("not judged: it would not fit the budget")
        return Rung(recipe, reason=_not_finished(evaluator, recipe))
    except TrainingDiverged as error:
        evaluator.progress.finish("not judged: the loss diverged")
        return Rung(recipe, reason=str(error))
    except OutOfMemory as error:
        evaluator.progress.finish("not judged: memory does not suffice")
        return Rung(recipe, reason=str(error))
    finally:
        evaluator.budget = budget
    score = judged.oof.score
    if not np.isfinite(score):
        return _no_number(evaluator, recipe)
    rung = Rung(recipe, judged)
    told = f"{-score:.3f} bits per byte" if judged.oof.written else f"accuracy {judged.shown.score:.3f}"
    told += "" if rung.closeness is None else f", chrF {rung.closeness:.1f}"
    evaluator.progress.finish(f"prefers the better answer {score:.1%}" if judged.oof.prefers else told)
    return rung


def _not_finished(evaluator: Evaluator, recipe: Recipe) -> str:
    done, asked = evaluator.finished(recipe), len(evaluator.splits)
    if not done:
        return "it would not fit in what was left of the budget"
    kept = "" if evaluator.store is None else ", and kept for next time"
    return f"the budget ended in it; {done} of its {asked} runs are done{kept}"


def _no_number(evaluator: Evaluator, recipe: Recipe) -> Rung:
    """A rung whose loss is no number. Raises BackboneDamaged where nothing was tuned: then it is the backbone's."""
    evaluator.progress.finish("not judged: its loss is no finite number")
    if isinstance(recipe.method, TunedMethod):
        return Rung(recipe, reason="its loss on held-out rows is no finite number; lower its rate")
    raise BackboneDamaged(
        f"{recipe.backbone} gives a loss that is no finite number before anything is tuned: its weights are damaged, "
        "or too large for half precision. Download it again, or set FEWTUNE_PRECISION=float32."
    )


def _longer_than(judged: Sequence[Judged], one: Judged) -> int | None:
    """The place of the first of its method and backbone; None: that is itself."""
    first = next(
        place
        for place, other in enumerate(judged)
        if (other.recipe.method.name, other.recipe.backbone) == (one.recipe.method.name, one.recipe.backbone)
    )
    return None if judged[first] is one else first


def _conclude(evaluator: Evaluator, rungs: list[Rung]) -> Climb:
    places = [place for place, rung in enumerate(rungs) if rung.judged is not None]
    judged = [rung.judged for rung in rungs if rung.judged is not None]
    candidates = [Candidate(one.recipe.method.name, one.oof, _longer_than(judged, one)) for one in judged]
    dataset = evaluator.context.dataset
    rows_per_class = len(dataset) / max(1, len(dataset.classes))
    winner, beliefs = choose(candidates, rows_per_class)
    chosen = [choose(candidates, rows_per_class, left_out=split.test)[0] for split in evaluator.splits]
    probs = tuple(judged[pick].oof.probs[number] for number, pick in enumerate(chosen))
    first = judged[0].oof
    written = rejected = None
    if first.written is not None:
        written = tuple((judged[pick].oof.written or ())[number] for number, pick in enumerate(chosen))
    if first.rejected is not None:
        rejected = tuple((judged[pick].oof.rejected or ())[number] for number, pick in enumerate(chosen))
    headline = OutOfFold(first.labels_N, first.held_out, probs, first.groups, written, rejected, first.wanted_N)
    return Climb(
        rungs=tuple(rungs),
        judged=tuple(places),
        winner=places[winner],
        beliefs=tuple(beliefs),
        headline=headline,
        chosen=tuple(places[pick] for pick in chosen),
    )
