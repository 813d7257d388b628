"""Commands that torchrun starts in several processes: the first leads, the others follow what it does.

Nothing heavy is loaded where there is one process.
"""

from __future__ import annotations

import os
import sys

from fewtune.errors import UsageError

COMMANDS = ("fit",)
"""What several processes can do together."""


def called() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ and {"RANK", "WORLD_SIZE"} <= set(os.environ)


def begin() -> None:
    """Meet the others, and follow where this process does not lead: then it ends here. Raises UsageError."""
    if not called():
        return
    if sys.argv[1:2] != [COMMANDS[0]]:
        raise UsageError("torchrun starts several processes, and only `fewtune fit` works in several. Leave it out.")
    from fewtune.tune.executors.followers import gather

    gather(None)


def end(code: int) -> None:
    """Tell the others how it ended, where there are any."""
    if "fewtune.tune.executors.followers" in sys.modules:
        from fewtune.tune.executors.followers import part

        part(code)
