"""What a person says about how a step of training is made to fit memory (`tune/saver.py`)."""

from __future__ import annotations

from dataclasses import dataclass

from fewtune.errors import UsageError


@dataclass(frozen=True)
class Thrift:
    """What a person says about it."""

    micro_batch: int | None = None
    """Rows worked on at a time; None: as many as fit."""
    checkpointing: bool | None = None
    """Whether layers are computed again on the way back; None: where a single row does not fit without."""

    def __post_init__(self) -> None:
        if self.micro_batch is not None and (isinstance(self.micro_batch, bool) or self.micro_batch < 1):
            raise UsageError(f"A micro-batch is 1 row or more, not {self.micro_batch}.")

    @property
    def asked(self) -> bool:
        """Whether anything was said."""
        return self != Thrift()
