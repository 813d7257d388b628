"""Which tokens of a pack belong together: texts one behind the other in one row, without padding.

A layout holds the texts of one run or of several that are trained together; each run's tokens stand together, and
noise for them (dropout) is drawn from the run's own stream, so that company changes nothing.

Legend: S tokens in all, B texts, T tokens of the longest text of a group, D width.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fewtune.backbones.noise import Noise

LIKE_LENGTH = 0.8
LIKE_TOKENS = 8
"""Texts so few tokens apart are alike too: a group of its own costs more than so little padding."""
ROUND = 16
"""A pack is filled up to a multiple of so many tokens: on a CPU every product of a new shape is compiled first, at a
multiple of what the product itself costs."""
ROUND_ATTENTION = 4
"""The longest text of an attention group likewise."""


def filling(tokens: int) -> int:
    """How many tokens a pack of `tokens` is filled up with."""
    return -tokens % ROUND


@dataclass(frozen=True, eq=False)
class Group:
    """Texts of like length that attend in one product; each sees itself only."""

    real_BT: torch.Tensor
    """Which places are tokens, each text padded on the right."""
    whole: bool
    """Whether all are."""
    run: int | None
    """Whose texts these are; None when of several runs."""
    masks: dict[Any, torch.Tensor | None] = field(default_factory=dict)
    """What was answered: all layers ask the same."""

    def seen(self, *, causal: bool, window: int | None) -> torch.Tensor | None:
        """Booleans that broadcast to [B, H, T, T]: which places each place may look at; None for all."""
        return self._once(("seen", causal, window), lambda: self._seen(causal, window))

    def bias(self, *, causal: bool, window: int | None, heads: int) -> torch.Tensor | None:
        """What to add to the scores of attention; broadcasts to [B·H, T, T]; None for nothing."""

        def made() -> torch.Tensor | None:
            seen = self.seen(causal=causal, window=window)
            if seen is None:
                return None
            least = torch.finfo(torch.float32).min  # not infinite: places beyond a window's reach see nothing at all
            bias_B1TT = torch.zeros(seen.shape, device=seen.device).masked_fill_(~seen, least)
            return bias_B1TT.squeeze(1) if len(bias_B1TT) == 1 else bias_B1TT.squeeze(1).repeat_interleave(heads, 0)

        return self._once(("bias", causal, window, heads), made)

    def _seen(self, causal: bool, window: int | None) -> torch.Tensor | None:
        longest = self.real_BT.shape[1]
        seen = None if self.whole else self.real_BT[:, None, None, :]
        if not causal and (window is None or longest <= window):
            return seen
        place_T = torch.arange(longest, device=self.real_BT.device)
        behind_TT = place_T[:, None] - place_T[None, :]
        allowed_TT = behind_TT >= 0 if causal else torch.ones_like(behind_TT, dtype=torch.bool)
        if window is not None:  # as transformers hands it on: the place itself counts, on either side
            allowed_TT = allowed_TT & (behind_TT.abs() < window)
        return allowed_TT[None, None] if seen is None else seen & allowed_TT

    def _once(self, key: Any, make: Callable[[], torch.Tensor | None]) -> torch.Tensor | None:
        if key not in self.masks:
            self.masks[key] = make()
        return self.masks[key]


class Layout:
    """Which tokens of a pack belong together.

    Parameters
    ----------
    lengths : tokens of each text, in the order of the pack; the texts of a run stand together.
    runs : the run of each text, ascending; all of run 0 when not given.
    noise : where dropout comes from.
    attention_shares : by run, the dropout of attention weights where it is not the model's own.
    device : where the pack is.
    fill : tokens behind the last text that belong to none: they see nothing, and nothing sees them.
    alike : texts attend in groups; the shortest of a group has at least this share of the longest one's tokens, or a
        few less than they. With 1, attention sees one shape for a text whoever is beside it.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        *,
        runs: Sequence[int] | None = None,
        noise: Noise | None = None,
        attention_shares: Sequence[float | None] | None = None,
        device: torch.device | None = None,
        fill: int = 0,
        alike: float = LIKE_LENGTH,
    ) -> None:
        self.fill, self.alike = fill, alike
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.runs: Any = np.asarray([0] * len(self.lengths) if runs is None else runs, dtype=np.int64)
        assert (np.diff(self.runs) >= 0).all(), "texts of a run stand together"
        self.noise, self.device = noise, device or torch.device("cpu")
        self.attention_shares = attention_shares
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])
        self.dropped: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        """What dropouts of adapters were handed last in the pass under way, and what they gave."""

    @property
    def tokens(self) -> int:
        """S, the filling included."""
        return int(self.starts[-1]) + self.fill

    @cached_property
    def bounds(self) -> list[tuple[int, int, int]]:
        """Each run in the pack, its first token and the one behind its last."""
        found, first = np.unique(self.runs, return_index=True)
        ends = [*first[1:].tolist(), len(self.runs)]
        return [
            (int(run), int(self.starts[begin]), int(self.starts[end]))
            for run, begin, end in zip(found, first, ends, strict=True)
        ]

    @cached_property
    def shares(self) -> list[tuple[int, slice]]:
        """Each run in the pack and its tokens; the filling goes with the last."""
        found = [(run, slice(start, end)) for run, start, end in self.bounds]
        run, last = found[-1]
        return [*found[:-1], (run, slice(last.start, self.tokens))]

    @cached_property
    def run_of_S(self) -> torch.Tensor:
        """[S] the run of each token."""
        return torch.from_numpy(np.pad(np.repeat(self.runs, self.lengths), (0, self.fill), mode="edge")).to(self.device)

    @cached_property
    def by_run(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Runs in the pack [R]; where their tokens stand, padded to the longest share [R, M]; the way back [S]."""
        longest = max(end - start for _, start, end in self.bounds)
        places = [start + np.minimum(np.arange(longest), end - start - 1) for _, start, end in self.bounds]
        back = [row * longest + np.arange(end - start) for row, (_, start, end) in enumerate(self.bounds)]
        back.append(np.zeros(self.fill, dtype=np.int64))
        parts = (np.asarray([run for run, _, _ in self.bounds]), np.stack(places), np.concatenate(back))
        runs_R, places_RM, back_S = (torch.from_numpy(part).to(self.device) for part in parts)
        return runs_R, places_RM, back_S

    def factors(self, run: int | None, share: float, like: torch.Tensor) -> torch.Tensor:
        """Dropout for a run's numbers, from its stream: what to multiply `like` with."""
        assert self.noise is not None, "dropout without a stream"
        assert run is not None, "dropout for several runs at once"
        return self.noise.factors(run, share, like)

    def attention_dropout(self, run: int, models_own: float) -> float:
        """The dropout of a run's attention weights in training."""
        stated = None if self.attention_shares is None else self.attention_shares[run]
        return models_own if stated is None else stated

    @cached_property
    def positions_S(self) -> torch.Tensor:
        """[S] place of each token in its text."""
        places = np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], self.lengths)
        return torch.from_numpy(np.pad(places, (0, self.fill))).to(self.device)

    def groups(self, *, apart: bool) -> Grouping:
        """Texts in groups of like length; `apart` keeps runs in groups of their own."""
        return self._apart if apart else self._together

    @cached_property
    def _apart(self) -> Grouping:
        members = [np.flatnonzero(self.runs == run) for run in np.unique(self.runs)]
        return Grouping(self, [(part, int(self.runs[rows[0]])) for rows in members for part in self._alike(rows)])

    @cached_property
    def _together(self) -> Grouping:
        return Grouping(self, [(part, None) for part in self._alike(np.arange(len(self.lengths)))])

    def _alike(self, rows: Any) -> Iterator[Any]:
        """`rows` in groups of like length, longest first."""
        order = rows[np.argsort(-self.lengths[rows], kind="stable")]
        lengths = self.lengths[order].tolist()
        near = LIKE_TOKENS if self.alike < 1 else 0
        start = 0
        for end in range(1, len(order) + 1):
            if end == len(order) or lengths[end] < min(self.alike * lengths[start], lengths[start] - near):
                yield order[start:end]
                start = end

    def means(self, flat_SD: torch.Tensor) -> torch.Tensor:
        """[B, D] the mean of each text's tokens, in float32."""
        row_of_S = torch.from_numpy(np.repeat(np.arange(len(self.lengths)), self.lengths)).to(self.device)
        sums_BD = flat_SD.new_zeros(len(self.lengths), flat_SD.shape[1], dtype=torch.float32)
        lengths_B = torch.from_numpy(self.lengths).to(self.device)
        return sums_BD.index_add(0, row_of_S, flat_SD[: len(row_of_S)].float()) / lengths_B.unsqueeze(1)

    def padded(self, flat_SD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, D] with each text padded on the right, and the [B, T] mask of real tokens, in the pack's order."""
        places_BT, real_BT = (
            torch.from_numpy(part).to(self.device) for part in _places(self, np.arange(len(self.lengths)))
        )
        padded_BTD = flat_SD.index_select(0, places_BT.flatten()).view(*places_BT.shape, -1)
        return padded_BTD, real_BT.long()


class Grouping:
    """All texts of a pack in groups, and the way there and back for all of them at once."""

    def __init__(self, layout: Layout, members: Sequence[tuple[Any, int | None]]) -> None:
        padded = [_places(layout, rows, multiple=ROUND_ATTENTION) for rows, _ in members]
        there = np.concatenate([places_BT.ravel() for places_BT, _ in padded])
        filled = np.flatnonzero(np.concatenate([real_BT.ravel() for _, real_BT in padded]))
        back = np.zeros(layout.tokens, dtype=np.int64)
        back[there[filled]] = filled
        self.there, self.back = (torch.from_numpy(part).to(layout.device) for part in (there, back))
        """[N] the token of each place; [S] the place of each token, the first for the filling."""
        self.groups = [
            Group(torch.from_numpy(real_BT).to(layout.device), bool(real_BT.all()), run)
            for (_, real_BT), (_, run) in zip(padded, members, strict=True)
        ]
        shapes = [places_BT.shape for places_BT, _ in padded]
        starts = np.cumsum([0, *(count * longest for count, longest in shapes)]).tolist()
        self.spans = [(start, *shape) for start, shape in zip(starts, shapes, strict=False)]
        """Of each group: its first place, how many texts, how many tokens the longest has."""
        self.longest = max(longest for _, longest in shapes)
        self.tokens = layout.tokens - layout.fill
        """Without the filling."""

    def __iter__(self) -> Iterator[Group]:
        return iter(self.groups)


def _places(layout: Layout, rows: Any, *, multiple: int = 1) -> tuple[Any, Any]:
    """[B, T] where the tokens of texts stand, and which places are tokens; those beyond a text's end show its first."""
    longest = int(layout.lengths[rows].max())
    columns = np.arange(longest + -longest % multiple)
    real_BT = columns < layout.lengths[rows][:, None]
    return layout.starts[rows][:, None] + np.where(real_BT, columns, 0), real_BT


_under_way: list[Layout] = []


@contextlib.contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """Within it, forward passes take their one row of tokens to be this pack."""
    _under_way.append(layout)
    try:
        yield
    finally:
        _under_way.pop()
        layout.dropped.clear()  # the graph of the way back holds the layout: what is in it would never be freed


def current() -> Layout | None:
    """The layout of the forward pass under way; None outside `laid_out`."""
    return _under_way[-1] if _under_way else None
