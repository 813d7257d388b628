"""The contract of executors: take a plan, yield each run's outcome as it is finished.

Every executor gives the same outcome for the same run, whatever else is in the plan and in whatever order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

from fewtune.methods.base import Fitted
from fewtune.tune.run import Context, Outcome, Run, Tick, fit


class Executor(ABC):
    """Carries out plans."""

    @abstractmethod
    def execute(
        self, plan: Sequence[Run], context: Context, *, tick: Tick | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Yield (place in the plan, outcome), each run once, in any order.

        `tick` is called often while training; what it raises ends the plan and passes through.
        """

    def fit(self, run: Run, context: Context, *, tick: Tick | None = None) -> Fitted:
        """A run's fitted model itself, to be kept and asked."""
        return fit(run, context, tick=tick)

    def close(self) -> None:  # noqa: B027  most executors hold nothing between plans
        """Give back what is held between plans: workers, a cluster. It can be used again after."""
