"""Methods that end badly, for what an executor makes of it."""

import os
import signal
from dataclasses import dataclass

from fewtune.errors import TrainingDiverged
from fewtune.methods.base import Fitted, Material
from fewtune.methods.majority import Majority


@dataclass(frozen=True)
class Fatal(Majority):
    """Kills the process it runs in, unless that is the one that asks."""

    parent: int = 0

    def fit(self, material: Material) -> Fitted:
        """Die in a worker."""
        if os.getpid() != self.parent:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().fit(material)


@dataclass(frozen=True)
class Failing(Majority):
    """Raises."""

    def fit(self, material: Material) -> Fitted:
        """Raise."""
        raise TrainingDiverged("on purpose")
