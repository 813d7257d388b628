"""Queries, keys and values that a frozen layer makes of cached states: kept by text, like the states themselves.

Where adapters are trained, the first live layer still multiplies frozen states with frozen weights, in every epoch of
every run. What comes out is the same each time, so it is computed once, in packs of at least `ROUND` tokens, where a
token's answer does not depend on the tokens beside it (`passes.py`).

Legend: S tokens of a pack, T tokens of a text, D width, O widths of queries, keys and values together.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Sequence

import torch

from fewtune.backbones.layout import ROUND, filling
from fewtune.backbones.prefix.limits import Room, give_back


class Looks:
    """What the product of one frozen layer gives for texts, in memory while there is room."""

    def __init__(self, room: Room) -> None:
        self.room, self.kept = room, dict[str, torch.Tensor]()
        self._taken = [0]
        weakref.finalize(self, give_back, room, self._taken)

    @torch.no_grad()
    def pack(
        self,
        texts: Sequence[str],
        states: Sequence[torch.Tensor],
        fill: int,
        multiply: Callable[[torch.Tensor], torch.Tensor],
    ) -> torch.Tensor:
        """[S, O] of texts one behind the other, and zeros for the filling; the caller's own to write in.

        Parameters
        ----------
        states : [T, D] of each text.
        multiply : [S, D] states to [S, O].
        """
        made = self.keep(texts, states, multiply)
        parts = [made[text] if text in made else self.kept[text] for text in texts]
        return torch.cat([*parts, parts[0].new_zeros(fill, parts[0].shape[1])])

    @torch.no_grad()
    def keep(
        self,
        texts: Sequence[str],
        states: Sequence[torch.Tensor],
        multiply: Callable[[torch.Tensor], torch.Tensor],
    ) -> dict[str, torch.Tensor]:
        """Compute what is missing and keep it where there is room; [T, O] of each text that was missing."""
        missing = {text: row for row, text in enumerate(texts) if text not in self.kept}
        fresh = _made([states[row] for row in missing.values()], multiply) if missing else []
        made = dict(zip(missing, fresh, strict=True))
        for text, looks_TO in made.items():
            if self.room.take(looks_TO.nbytes):
                self._taken[0] += looks_TO.nbytes
                self.kept[text] = looks_TO
        return made


def _made(states: Sequence[torch.Tensor], multiply: Callable[[torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """[T, O] of each text, computed in one pack."""
    lengths = [len(states_TD) for states_TD in states]
    fill = max(filling(sum(lengths)), ROUND - sum(lengths))
    looks_SO = multiply(torch.cat([*states, states[0].new_zeros(fill, states[0].shape[1])]))
    return [looks_TO.clone() for looks_TO in torch.split(looks_SO[: sum(lengths)], lengths)]
