"""Texts one behind the other in one row, without padding: every product then works on real tokens only.

Nearly all of a transformer works token by token and does not care whose token comes next. What does care, attention,
is taken over by a function registered with transformers under `PACKED`: it looks up which tokens belong together in
the `Layout` of the forward pass under way. Whether an architecture lets that be done, and from which number its
positions count, is not looked up in a table but tried once a backbone (`first_position`): two texts packed must give
what they give padded.

A layout holds the texts of one run or of several that are trained together; each run's tokens stand together, and
noise for them (dropout) is drawn from the run's own stream, so that company changes nothing.

Legend: S tokens in all, B texts, T tokens of the longest text of a group, H heads, W width of a head, D width.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

PACKED = "fewtune_packed"
LIKE_LENGTH = 0.5
"""Texts attend in groups; the shortest of a group has at least this share of the longest one's tokens."""
ROUND = 16
"""A pack is filled up to a multiple of so many tokens: on a CPU every product of a new shape is compiled first, at a
multiple of what the product itself costs."""
ROUND_ATTENTION = 4
"""The longest text of an attention group likewise."""
GRAIN = 1 << 16
"""Dropout compares 16 random bits with a threshold: its rate is exact to 1/65536."""


def filling(tokens: int) -> int:
    """How many tokens a pack of `tokens` is filled up with."""
    return -tokens % ROUND


class Noise:
    """A stream of random numbers for each run, so that a run's dropout is its own whoever shares the batch."""

    def __init__(self, seeds: Sequence[int]) -> None:
        self.streams = [_stream(seed) for seed in seeds]

    def begin(self, run: int, seed: int) -> None:
        """Start a run's stream from its beginning."""
        self.streams[run] = _stream(seed)

    def factors(self, run: int, share: float, like: torch.Tensor) -> torch.Tensor:
        """What to multiply `like` with: 0 with probability `share`, else what keeps the expected value."""
        bits = np.frombuffer(self.streams[run].bytes(2 * like.numel()), dtype=np.uint16)
        keep = bits < round((1 - share) * GRAIN)
        one = torch.tensor(1 / (1 - share), dtype=like.dtype)
        if like.dtype == torch.bfloat16:  # the bits of the kept value where kept: a pass less than a conversion
            value = one.view(torch.int16).numpy()
            return torch.from_numpy(keep * value).view(torch.bfloat16).view(like.shape).to(like.device)
        return torch.from_numpy(keep).view(like.shape).to(like.device, like.dtype) * one

    def state(self, run: int = 0) -> dict[str, Any]:
        """Where a run's stream stands, as plain values."""
        plain: dict[str, Any] = _plain(self.streams[run].bit_generator.state)
        return plain

    def load_state(self, state: dict[str, Any], run: int = 0) -> None:
        """Put back what `state` gave."""
        self.streams[run].bit_generator.state = _arrays(state)


def _stream(seed: int) -> np.random.Generator:
    return np.random.Generator(np.random.SFC64([seed, 0xD0]))


def _plain(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _plain(value) for key, value in state.items()}
    return [int(number) for number in state] if isinstance(state, np.ndarray) else state


def _arrays(state: Any) -> Any:
    if isinstance(state, dict):
        return {key: _arrays(value) for key, value in state.items()}
    return np.asarray(state, dtype=np.uint64) if isinstance(state, list) else state


@dataclass(frozen=True)
class Group:
    """Texts of like length that attend in one product; each sees itself only."""

    padded_BT: torch.Tensor
    """Where each token stands in the pack; places beyond a text's end point at its first token."""
    real_BT: torch.Tensor
    """Which places are tokens."""
    run: int | None
    """Whose texts these are; None when of several runs."""


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
    ) -> None:
        self.fill = fill
        self.lengths = np.asarray(lengths, dtype=np.int64)
        self.runs: Any = np.asarray([0] * len(self.lengths) if runs is None else runs, dtype=np.int64)
        assert (np.diff(self.runs) >= 0).all(), "texts of a run stand together"
        self.noise, self.device = noise, device or torch.device("cpu")
        self.attention_shares = attention_shares
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)])

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

    def attention_dropout(self, run: int, models_own: float) -> float:
        """The dropout of a run's attention weights in training."""
        stated = None if self.attention_shares is None else self.attention_shares[run]
        return models_own if stated is None else stated

    @cached_property
    def positions_S(self) -> torch.Tensor:
        """[S] place of each token in its text."""
        places = np.arange(self.starts[-1]) - np.repeat(self.starts[:-1], self.lengths)
        return torch.from_numpy(np.pad(places, (0, self.fill))).to(self.device)

    def groups(self, *, apart: bool) -> _Groups:
        """Texts in groups of like length; `apart` keeps runs in groups of their own."""
        return self._apart if apart else self._together

    @cached_property
    def _apart(self) -> _Groups:
        members = [np.flatnonzero(self.runs == run) for run in np.unique(self.runs)]
        return _Groups(self, [(part, int(self.runs[rows[0]])) for rows in members for part in self._alike(rows)])

    @cached_property
    def _together(self) -> _Groups:
        return _Groups(self, [(part, None) for part in self._alike(np.arange(len(self.lengths)))])

    def _alike(self, rows: Any) -> Iterator[Any]:
        """`rows` in groups of like length, longest first."""
        order = rows[np.argsort(-self.lengths[rows], kind="stable")]
        start = 0
        for end in range(1, len(order) + 1):
            if end == len(order) or self.lengths[order[end]] < LIKE_LENGTH * self.lengths[order[start]]:
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
        places_BT, real_BT = _padded(self, np.arange(len(self.lengths)))
        padded_BTD = flat_SD.index_select(0, places_BT.flatten()).view(*places_BT.shape, -1)
        return padded_BTD, real_BT.long()


class _Groups:
    """Groups, and the way there and back for all of them at once."""

    def __init__(self, layout: Layout, members: Sequence[tuple[Any, int | None]]) -> None:
        self.groups = [Group(*_padded(layout, rows, multiple=ROUND_ATTENTION), run) for rows, run in members]
        self.there = torch.cat([group.padded_BT.flatten() for group in self.groups])
        real = torch.cat([group.real_BT.flatten() for group in self.groups])
        self.back = torch.zeros(layout.tokens, dtype=torch.long, device=layout.device)
        self.back[self.there[real]] = torch.arange(len(self.there), device=layout.device)[real]


def _padded(layout: Layout, rows: Any, *, multiple: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    longest = int(layout.lengths[rows].max())
    columns = np.arange(longest + -longest % multiple)
    real_BT = columns < layout.lengths[rows][:, None]
    places_BT = layout.starts[rows][:, None] + np.where(real_BT, columns, 0)
    return torch.from_numpy(places_BT).to(layout.device), torch.from_numpy(real_BT).to(layout.device)


_under_way: list[Layout] = []


@contextlib.contextmanager
def laid_out(layout: Layout) -> Iterator[None]:
    """Within it, forward passes take their one row of tokens to be this pack."""
    _under_way.append(layout)
    try:
        yield
    finally:
        _under_way.pop()


def current() -> Layout | None:
    """The layout of the forward pass under way; None outside `laid_out`."""
    return _under_way[-1] if _under_way else None


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    is_causal: bool | None = None,
    sliding_window: int | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each text to itself; query, key and value are [1, H, S, W], the answer is [1, S, H, W]."""
    layout = current()
    assert layout is not None, "packed attention outside of a pack"
    assert query.shape[0] == 1, "a pack is one row"
    causal = bool(getattr(module, "is_causal", False)) if is_causal is None else is_causal
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    noisy = module.training and any(layout.attention_dropout(run, dropout) > 0 for run, _, _ in layout.bounds)
    found = layout.groups(apart=noisy)
    repeats = query.shape[1] // key.shape[1]
    picked = [
        part[0].transpose(0, 1).index_select(0, found.there)
        for part in (query, *(repeat(kv, repeats) for kv in (key, value)))
    ]
    answers = []
    start = 0
    for group in found.groups:
        count, longest = group.padded_BT.shape
        parts = [part[start : start + count * longest].view(count, longest, *part.shape[1:]) for part in picked]
        query_BHTW, key_BHTW, value_BHTW = (part.transpose(1, 2) for part in parts)
        seen = _seen(group, causal=causal, window=sliding_window)
        share = 0.0 if group.run is None else layout.attention_dropout(group.run, dropout)
        if share > 0:
            answer_BHTW = _noisy(query_BHTW, key_BHTW, value_BHTW, seen, scale, share, layout, group)
        else:
            answer_BHTW = nn.functional.scaled_dot_product_attention(
                query_BHTW, key_BHTW, value_BHTW, attn_mask=seen, scale=scale
            )
        answers.append(answer_BHTW.transpose(1, 2).reshape(count * longest, *answer_BHTW.shape[1::2]))
        start += count * longest
    return torch.cat(answers).index_select(0, found.back).unsqueeze(0), None


def repeat(kv: torch.Tensor, times: int) -> torch.Tensor:
    """Key or value heads shared by `times` query heads, written out."""
    return kv if times == 1 else kv.repeat_interleave(times, dim=1)


def _seen(group: Group, *, causal: bool, window: int | None) -> torch.Tensor | None:
    """Booleans that broadcast to [B, H, T, T]: which places each place may look at; None for all."""
    longest = group.real_BT.shape[1]
    seen = None if bool(group.real_BT.all()) else group.real_BT[:, None, None, :]
    if not causal and (window is None or longest <= window):
        return seen
    place_T = torch.arange(longest, device=group.real_BT.device)
    behind_TT = place_T[:, None] - place_T[None, :]
    allowed_TT = behind_TT >= 0 if causal else torch.ones_like(behind_TT, dtype=torch.bool)
    if window is not None:  # as transformers hands it on: the place itself counts, on either side
        allowed_TT = allowed_TT & (behind_TT.abs() < window)
    return allowed_TT if seen is None else seen & allowed_TT


def _noisy(
    query_BHTW: torch.Tensor,
    key_BHTW: torch.Tensor,
    value_BHTW: torch.Tensor,
    seen: torch.Tensor | None,
    scale: float,
    dropout: float,
    layout: Layout,
    group: Group,
) -> torch.Tensor:
    """Attention with dropout on its weights, from the run's own stream."""
    assert layout.noise is not None, "dropout without a stream"
    assert group.run is not None, "dropout for several runs at once"
    # In float32: at these sizes the products cost nothing, and bf16's are compiled anew for every shape.
    with torch.autocast(query_BHTW.device.type, enabled=False):
        scores_BHTT = (query_BHTW.float() * scale) @ key_BHTW.float().transpose(-1, -2)
        if seen is not None:
            scores_BHTT = scores_BHTT.masked_fill(~seen, torch.finfo(scores_BHTT.dtype).min)
        weights_BHTT = scores_BHTT.softmax(-1)
        kept_BHTT = weights_BHTT * layout.noise.factors(group.run, dropout, weights_BHTT)
        return (kept_BHTT @ value_BHTW.float()).to(value_BHTW.dtype)


class RunDropout(nn.Module):
    """Dropout that draws each run's part of a pack from the run's own stream; ordinary dropout outside of a pack."""

    def __init__(self, share: float, *, slots: int = 1, adapters: bool = False) -> None:
        super().__init__()
        self.adapters = adapters
        """Whether it belongs to adapters, whose dropout is a setting of its own."""
        self.models_own = share
        self.share_K = [share] * slots

    @property
    def p(self) -> float:
        """The model's own share: what attention is handed by models that keep it in a dropout module."""
        return self.models_own

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """`states` [1, S, D] with a share of the numbers zeroed and the rest scaled up, in training mode."""
        if not self.training or not any(self.share_K):
            return states
        layout = current()
        if layout is None or layout.noise is None:
            return nn.functional.dropout(states, self.share_K[0])
        assert states.shape[:2] == (1, layout.tokens), "dropout on something that is no pack"
        parts = [
            part * layout.noise.factors(run, self.share_K[run], part) if self.share_K[run] else part
            for run, part in ((run, states[:, start:end]) for run, start, end in layout.bounds)
        ]
        if layout.fill:
            parts.append(states[:, layout.tokens - layout.fill :])
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)


def install_dropout(module: nn.Module, *, slots: int = 1) -> None:
    """Put a `RunDropout` in place of every `nn.Dropout` inside `module`."""
    for parent in module.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Dropout):
                fresh = RunDropout(child.p, slots=slots)
                fresh.train(child.training)
                setattr(parent, name, fresh)


def use_packed_attention(model: Any) -> None:
    """Have a private copy of a model attend by the layout."""
    model.config._attn_implementation = PACKED


@functools.cache
def register() -> None:
    """Make `PACKED` known to transformers."""
    from transformers import AttentionInterface

    AttentionInterface.register(PACKED, attention)


@torch.no_grad()
def first_position(model: Any, pad_id: int) -> int | None:
    """The number of the first position when texts are packed; None where the architecture cannot be packed.

    `model` is left as it was. Found by trying: packed texts must give what padded texts give.
    """
    register()
    if getattr(model.config, "model_type", "") in ("t5", "mt5"):  # positions are biases over the whole row
        return None
    before = model.config._attn_implementation
    vocabulary = int(model.config.vocab_size)
    texts = [[(7 * place + 3) % vocabulary for place in range(length)] for length in (3, 7)]
    texts = [[token if token != pad_id else (token + 1) % vocabulary for token in text] for text in texts]
    padded = torch.tensor([texts[0] + [pad_id] * 4, texts[1]], device=model.device)
    mask = torch.tensor([[1] * 3 + [0] * 4, [1] * 7], device=model.device)
    expected = model(input_ids=padded, attention_mask=mask).last_hidden_state
    expected = torch.cat([expected[0, :3], expected[1]])
    layout = Layout([3, 7], device=model.device)
    try:
        use_packed_attention(model)
        for first in dict.fromkeys((0, pad_id + 1)):
            with contextlib.suppress(Exception), laid_out(layout):  # whatever it trips over, it cannot be packed
                flat = torch.tensor([texts[0] + texts[1]], device=model.device)
                found = model(input_ids=flat, position_ids=(layout.positions_S + first)[None]).last_hidden_state[0]
                if torch.allclose(found, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())):
                    return first
    finally:
        model.config._attn_implementation = before
    return None
