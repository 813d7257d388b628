"""What a run's second round learns from, kept so that an interrupted one need not go through the first again."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np

from fewtune.data.files import written_whole
from fewtune.methods.base import PseudoLabelled


class SecondRound:
    """Two files beside the checkpoint of the first: the pseudo-labelled texts, and the round's own checkpoint.

    Parameters
    ----------
    checkpoint : of the first round; None keeps nothing.
    """

    def __init__(self, checkpoint: Path | None) -> None:
        self.checkpoint = None if checkpoint is None else checkpoint.with_stem(f"{checkpoint.stem}-second")
        self.path = None if self.checkpoint is None else self.checkpoint.with_suffix(".json")

    def begun(self) -> PseudoLabelled | None:
        """What it learns from, where it had begun; nothing of a file that is absent or damaged."""
        if self.path is None:
            return None
        try:
            plain = json.loads(self.path.read_text(encoding="utf-8"))
            return PseudoLabelled(plain["texts"], np.asarray(plain["labels"], dtype=np.int64))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def begin(self, pseudo: PseudoLabelled) -> None:
        """Keep what it learns from; a full disk costs the keeping, never the run."""
        if self.path is None:
            return
        plain = {"texts": list(pseudo.texts), "labels": pseudo.labels.tolist()}
        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with written_whole(self.path) as file:
                file.write(json.dumps(plain).encode())

    def remove(self) -> None:
        """The run is finished."""
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.unlink()
