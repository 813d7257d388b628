"""One run after another, in the plan's order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fewtune.tune.executors.base import Executor
from fewtune.tune.run import Context, Outcome, Run, Tick, carry_out


class SerialExecutor(Executor):
    """The plainest executor: the one others are held against."""

    def execute(
        self, plan: Sequence[Run], context: Context, *, tick: Tick | None = None
    ) -> Iterator[tuple[int, Outcome]]:
        """Carry out each run in turn."""
        for place, run in enumerate(plan):
            yield place, carry_out(run, context, tick=tick)
