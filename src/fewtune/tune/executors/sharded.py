"""One run at a time, worked on by several processes that share the model's weights: for models larger than one GPU.

This process leads: it alone reads rows, decides, prints and writes. It says what is to be done, and does it with the
others, who hear it in `follow`. What it fits stays shared out; asking it something is told to the others in turn.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewtune.backbones.portions import out_of_memory
from fewtune.backbones.team import GONE, Team, lost
from fewtune.data.base import Example
from fewtune.errors import FewtuneError, OutOfMemory, TeamLost, UsageError
from fewtune.methods.base import Fitted, Writer, Written
from fewtune.methods.generation.base import ModelWriter
from fewtune.tune import run as runs
from fewtune.tune.executors.base import Executor
from fewtune.tune.run import Context, Outcome, Run, Tick
from fewtune.tune.saver import too_little


class Stopped(Exception):
    """The one that leads stopped a run that others were at."""


class Agreed(Exception):
    """What a tick raised here, once the others know of it."""

    def __init__(self, reason: BaseException) -> None:
        super().__init__(str(reason))
        self.reason = reason


@dataclass
class Work:
    """What a process of the team has at hand."""

    team: Team
    context: Context | None = None
    fitted: Fitted | None = None
    untuned: Writer | None = None
    models: dict[str, Any] = field(default_factory=dict)

    def do(self, order: tuple[Any, ...], tick: Tick | None = None) -> Any:
        """Do what was said; every process of the team does it at once."""
        name, *given = order
        return getattr(self, f"_{name}")(*given, tick=tick)

    def _begin(self, context: dict[str, Any], names: tuple[str, ...], *, tick: Tick | None) -> None:
        from fewtune.backbones.language.load import load_language_model

        del tick
        models = {name: self.models.get(name) or load_language_model(name, team=self.team) for name in names}
        self.models = models
        self.context = Context(**context, encoders={}, language_models=models)

    def _carry_out(self, run: Run, *, tick: Tick | None) -> Outcome:
        assert self.context is not None
        self.fitted = None  # whose memory the run needs
        return runs.carry_out(run, self.context, tick=tick)

    def _fit(self, run: Run, *, tick: Tick | None) -> Fitted:
        assert self.context is not None
        self.fitted = self.untuned = None
        self.fitted = runs.fit(run, self.context, tick=tick)
        return self.fitted

    def _costs(self, tuned: bool, examples: list[Example], *, tick: Tick | None) -> Written:
        del tick
        return self._writer(tuned).costs(examples)

    def _write(self, tuned: bool, examples: list[Example], settings: Any, *, tick: Tick | None) -> list[str]:
        del tick
        return self._writer(tuned).write(examples, settings)

    def _save(self, folder: Path, *, tick: Tick | None) -> None:
        del tick
        assert self.fitted is not None
        self.fitted.save(folder)

    def _writer(self, tuned: bool) -> Writer:
        assert isinstance(self.fitted, ModelWriter)
        if tuned:
            return self.fitted
        if self.untuned is None:
            self.untuned = self.fitted.untuned()
        return self.untuned


class Lead:
    """The one that says what is to be done."""

    def __init__(self, team: Team) -> None:
        self.team, self.work = team, Work(team)

    def begin(self, context: Context) -> None:
        """Have the others open the same models and take the same rows."""
        plain = {name: getattr(context, name) for name in ("dataset", "groups", "partial", "thrift", "mix")}
        self.work.context, self.work.models = context, dict(context.language_models)
        self.team.tell(("begin", plain, tuple(context.language_models)))
        failed = [said for said in self.team.collect(None) if said is not None]
        if failed:
            raise TeamLost(failed[0])

    def do(self, order: tuple[Any, ...], tick: Tick | None = None) -> Any:
        """Say it, and do it with the others."""
        self.team.tell(order)
        self.team.under_way.append(str(order[0]))
        agreed = False  # whether the others know that it is over
        try:
            with _told():
                found = self.work.do(order, in_step(self.team, tick))
            agreed = True
        except (TeamLost, OutOfMemory):
            raise
        except (FewtuneError, Agreed) as error:
            agreed = True
            if isinstance(error, Agreed):
                raise error.reason from None
            raise
        finally:
            if agreed:
                self.team.under_way.clear()
        return found


class LedWriter(ModelWriter):
    """What was fitted by all: asking it something is told to the others."""

    def __init__(self, lead: Lead, fitted: ModelWriter, *, tuned: bool = True) -> None:
        self.lead, self.fitted, self.tuned = lead, fitted, tuned
        self.language_model, self.template, self.settings = fitted.language_model, fitted.template, fitted.settings
        self.log, self.notes, self.trainable_parameters = fitted.log, fitted.notes, fitted.trainable_parameters

    def costs(self, examples: Sequence[Example]) -> Written:
        """What the completions cost."""
        found: Written = self.lead.do(("costs", self.tuned, list(examples)))
        return found

    def write(self, examples: Sequence[Example], settings: Any = None) -> list[str]:
        """Greedily, unless `settings` say otherwise."""
        found: list[str] = self.lead.do(("write", self.tuned, list(examples), settings))
        return found

    def untuned(self) -> ModelWriter:
        """The same model as it was before."""
        return LedWriter(self.lead, self.fitted.untuned(), tuned=False)

    def save(self, folder: Path) -> None:
        """What moved is gathered, and written here."""
        self.lead.do(("save", folder))


class ShardedExecutor(Executor):
    """All processes of the team at one run after another."""

    def __init__(self, team: Team) -> None:
        self.lead = Lead(team)
        self._begun: Context | None = None

    def execute(
        self, plan: Sequence[Run], context: Context, *, tick: Tick | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Each run in turn."""
        self._begin(context)
        for place, run in enumerate(plan):
            yield place, self.lead.do(("carry_out", run), tick)

    def fit(self, run: Run, context: Context, *, tick: Tick | None = None) -> Fitted:
        """A run that stays shared out, and is asked through this process."""
        self._begin(context)
        fitted = self.lead.do(("fit", run), tick)
        assert isinstance(fitted, ModelWriter)
        return LedWriter(self.lead, fitted)

    def _begin(self, context: Context) -> None:
        if context is not self._begun:
            if not context.writes:
                raise UsageError("Several processes share models that write. Encoders are small: fit them in one.")
            self.lead.begin(context)
            self._begun = context


def in_step(team: Team, tick: Tick | None) -> Tick:
    """A tick after which all go on, or none does: what it raises here stops the others too."""

    def ticked() -> None:
        error: BaseException | None = None
        if team.leads:
            try:
                if tick is not None:
                    tick()
            except BaseException as raised:  # the budget, or the person: the others must hear of it first
                error = raised
        if team.agree(error is not None):
            raise Stopped if error is None else Agreed(error)

    return ticked


@contextlib.contextmanager
def _told() -> Iterator[None]:
    """Within it, what only one process of a team can say is said in words: a peer that is gone, memory that ran out."""
    try:
        yield
    except FewtuneError:
        raise
    except (MemoryError, RuntimeError) as error:
        if out_of_memory(error):
            raise too_little(alone=False) from error
        if lost(error):
            raise TeamLost(GONE) from error
        raise


def follow(team: Team) -> int:
    """Do what the one that leads says until it says that it is done; the exit code.

    What fails here as it fails everywhere (a loss that is no number) the one that leads deals with; what fails here
    alone is said, and ends this process, and with it the others.
    """
    work = Work(team)
    while True:
        order = team.hear()
        if order[0] == "end":
            return int(order[1])
        if order[0] == "begin":
            _join_in(work, order)
            continue
        try:
            with _told():
                work.do(order, in_step(team, None))
        except (Stopped, FewtuneError) as error:
            if isinstance(error, TeamLost | OutOfMemory):  # of this process alone
                raise


def _join_in(work: Work, order: tuple[Any, ...]) -> None:
    """Open the models; whoever cannot says so before anything is done together."""
    try:
        work.do(order)
        failure = None
    except FewtuneError as error:
        failure = f"Process {work.team.rank} of {work.team.size}: {error}"
    if any(work.team.collect(failure)):
        sys.exit(1)


__all__ = ["Lead", "LedWriter", "ShardedExecutor", "follow", "in_step"]
