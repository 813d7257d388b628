"""An executor that remembers what it was asked to compute."""

from fewtune.tune.executors.serial import SerialExecutor


class Counting(SerialExecutor):
    def __init__(self):
        self.ran = []

    def execute(self, plan, context, *, tick=None):
        for place, outcome in super().execute(plan, context, tick=tick):
            self.ran.append(context.key(plan[place]))
            yield place, outcome
