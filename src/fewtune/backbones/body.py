"""The part of an encoder that a run trains: the layers above `depth`, grafted on cached states of those below.

The frozen layers stay in the module tree (so names, PEFT adapters and saved files keep the ecosystem's layout) but
are skipped: a hook hands the cached states to the first live layer. Masks, rotary positions and everything else an
architecture does around its layers is its own code's business.

Legend: B texts, T tokens, D width.
"""

from __future__ import annotations

import copy
import functools
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fewtune.backbones import batches
from fewtune.backbones.checkpointing import checkpoint_layers
from fewtune.backbones.dropout import RunDropout, install_dropout
from fewtune.backbones.encoder import Encoder, unit
from fewtune.backbones.fused import FusedLayer, fuse
from fewtune.backbones.layers import layer_list, sharing_copy
from fewtune.backbones.layout import Layout, filling, laid_out
from fewtune.backbones.noise import Noise
from fewtune.backbones.packed import use_packed_attention
from fewtune.backbones.pooling import POOLS
from fewtune.backbones.precision import compute_precision
from fewtune.backbones.stacked import stack_live
from fewtune.errors import BackboneError

CHUNK_TOKENS = 1024
"""A padded batch is run in chunks of like length, at least this many tokens each: less padding, large products."""
PACK_TOKENS = 8192
"""A packed batch is cut into chunks of at most this many tokens, to bound memory."""


class Body(nn.Module):
    """A private copy of `encoder` whose layers above `depth` can be trained; frozen tensors are shared, not copied.

    Parameters
    ----------
    encoder : the frozen backbone.
    depth : how many of the lowest layers are skipped and read from the encoder's cache; 0 runs them all.
    train_layers : whether the layers above `depth` are trainable (False when an adapter will be).
    seeds : one a run: where its dropout comes from. Several runs are trained side by side, each in a slot.
    """

    def __init__(self, encoder: Encoder, *, depth: int, train_layers: bool = True, seeds: Sequence[int] = (0,)) -> None:
        super().__init__()
        self.encoder, self.depth = encoder, depth
        layers = layer_list(encoder.model)
        if layers is None and depth:
            raise BackboneError(f"{encoder.name} shares its layers: none can be frozen alone.")
        if layers is not None and not 0 <= depth < len(layers):
            raise BackboneError(f"{encoder.name} has {len(layers)} layers: {depth} frozen ones leave none to train.")
        live = [] if layers is None else list(layers)[depth:]
        self.model: Any = _copy_sharing_frozen(encoder, live if train_layers else [])
        self.slots = len(seeds)
        self.noise = Noise(seeds)
        self.attention_shares: list[float | None] = [None] * self.slots
        self.packs = encoder.first_position is not None
        assert self.packs or self.slots == 1, "several runs need a backbone that can be packed"
        self._prefix: torch.Tensor | None = None
        self._straight = False
        self._known: FusedLayer | None = None
        """The first live layer, where its queries, keys and values come from frozen states and weights alone."""
        if train_layers:
            self._unfreeze(layers is None)
        if self.slots > 1 and train_layers:
            stack_live(self.live, slots=self.slots)
        if depth:
            self._graft()
        if self.packs:
            use_packed_attention(self.model)
            install_dropout(self.model, slots=self.slots)
        if train_layers:
            self.fuse()

    @property
    def live(self) -> list[nn.Module]:
        """The layers above `depth`; the whole model where an architecture shares its layers."""
        layers = layer_list(self.model)
        return [self.model] if layers is None else list(layers)[self.depth :]

    def fuse(self) -> None:
        """Write the live layers out as one function each where that can be; to be called once all their parts stand."""
        if self.packs and self.encoder.device.type == "cpu":
            whole = fuse(self.live) == len(self.live)
            self._straight = whole and bool(self.depth) and self._adds_nothing()
            first: Any = self.live[0].forward
            if self._straight and isinstance(first, FusedLayer) and first.multiplies_alone:
                self._known = first

    @torch.no_grad()
    def _adds_nothing(self) -> bool:
        """Whether the model is its live layers one after another, once they are handed the states below: tried."""
        texts = ["a", "b c"]
        was_training = self.training
        self.eval()
        whole, straight = (self._last_states(texts, self._layout(texts), straight=way) for way in (False, True))
        self.train(was_training)
        return torch.equal(whole, straight)

    def _unfreeze(self, shared_layers: bool) -> None:
        # Word embeddings stay frozen: on little data only a few of their rows would ever move.
        if shared_layers:
            for name, parameter in self.model.named_parameters():
                parameter.requires_grad_("embeddings" not in name)
            return
        for layer in self.live:
            layer.requires_grad_(True)

    def train(self, mode: bool = True) -> Body:
        """Dropout on or off; what is frozen below the live layers never has any."""
        super().train(mode)
        if mode and self.depth:
            self.model.train(False)
            for layer in self.live:
                layer.train(True)
        return self

    def compute_again(self) -> bool:
        """Have the live layers computed again on the way back; False where that cannot be."""
        self._straight = False  # which goes past where layers are asked to
        for layer in self.live:  # a layer written out holds what it computed where autograd does not see it
            layer.forward = getattr(layer.forward, "own_forward", layer.forward)
        return checkpoint_layers(self.model, self.noise)

    def _graft(self) -> None:
        layers, theirs = layer_list(self.model), layer_list(self.encoder.model)
        assert layers is not None
        assert theirs is not None
        others = _other_outputs(self.encoder.model, theirs[0])
        for layer in list(layers)[: self.depth]:
            # The frozen layer costs nothing; its module and attributes stay.
            layer.forward = functools.partial(_pass_through, others=others)
        layers[self.depth].register_forward_pre_hook(self._hand_over, with_kwargs=True)

    def _hand_over(self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        assert self._prefix is not None
        if args:
            return (self._prefix, *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": self._prefix}

    def forward(self, texts: Sequence[str], runs: Sequence[int] | None = None) -> torch.Tensor:
        """[B, D] pooled float32 vectors, in the order of `texts`; a text repeated in a run is computed once.

        Parameters
        ----------
        runs : the slot each text belongs to, ascending; all of slot 0 when not given.
        """
        keys = list(zip(runs or [0] * len(texts), texts, strict=True))
        unique = list(dict.fromkeys(keys))
        lengths = self.lengths([text for _, text in unique], [run for run, _ in unique])
        pooled: dict[tuple[int, str], torch.Tensor] = {}
        with compute_precision():  # around all chunks: the weights are cast once, not once a chunk
            for rows in self.chunks(lengths, [run for run, _ in unique]):
                part = [unique[row] for row in rows]
                pooled.update(zip(part, self._chunk([t for _, t in part], [run for run, _ in part]), strict=True))
        return torch.stack([pooled[key] for key in keys])

    def lengths(self, texts: Sequence[str], runs: Sequence[int]) -> list[int]:
        """Tokens that each text takes in a run's pass."""
        return [len(ids) for ids in self.encoder.tokens(texts)]

    def chunks(self, lengths: Sequence[int], runs: Sequence[int]) -> Iterator[Sequence[int]]:
        """Rows to compute at a time: like lengths together where there is padding; where not, runs are kept whole.

        How a run is cut depends on its own rows alone: its noise must not depend on who shares the pack.
        """
        if not self.packs:
            yield from (
                rows.tolist() for rows in batches.by_length(lengths, token_budget=max(CHUNK_TOKENS, sum(lengths) // 2))
            )
            return
        pack: list[int] = []
        for _, rows in itertools.groupby(range(len(runs)), key=lambda row: runs[row]):
            own = list(batches.in_order(list(rows), lengths, token_budget=PACK_TOKENS))
            if len(own) == 1 and sum(lengths[row] for row in (*pack, *own[0])) <= PACK_TOKENS:
                pack.extend(own[0])
                continue
            if pack:
                yield pack
            pack = list(own.pop()) if len(own) == 1 else []
            yield from own
        if pack:
            yield pack

    def _chunk(self, texts: list[str], runs: Sequence[int]) -> torch.Tensor:
        if self.packs:
            return self._pack(texts, runs)
        hidden_BTD, mask_BT = self._padded_states(texts)
        return POOLS[self.encoder.pooling.mode](hidden_BTD.float(), mask_BT)

    def _padded_states(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, D] the last layer's states of texts padded on the right, and the [B, T] mask of real tokens."""
        ids_BT, mask_BT = batches.pad_tokens(self.encoder.tokens(texts), self.encoder.pad_id)
        ids_BT, mask_BT = ids_BT.to(self.encoder.device), mask_BT.to(self.encoder.device)
        if self.depth:
            states = self.encoder.hidden(texts, self.depth)
            self._prefix = nn.utils.rnn.pad_sequence(states, batch_first=True)
        with compute_precision():
            hidden_BTD = self.model(input_ids=ids_BT, attention_mask=mask_BT).last_hidden_state
        self._prefix = None
        return hidden_BTD, mask_BT

    def _pack(self, texts: list[str], runs: Sequence[int]) -> torch.Tensor:
        """[B, D] pooled vectors of texts that stand one behind the other."""
        hidden_SD, layout = self.packed_states(texts, runs)
        if self.encoder.pooling.mode == "mean":
            return layout.means(hidden_SD)
        hidden_BTD, mask_BT = layout.padded(hidden_SD)
        return POOLS[self.encoder.pooling.mode](hidden_BTD.float(), mask_BT)

    def packed_states(self, texts: list[str], runs: Sequence[int]) -> tuple[torch.Tensor, Layout]:
        """[S, D] the last layer's states of texts that stand one behind the other, and where each stands."""
        layout = self._layout(texts, runs)
        return self._last_states(texts, layout, straight=self._straight), layout

    def _layout(self, texts: list[str], runs: Sequence[int] | None = None) -> Layout:
        lengths = self.lengths(texts, runs or [0] * len(texts))
        return Layout(
            lengths,
            runs=runs,
            noise=self.noise,
            attention_shares=self.attention_shares,
            device=self.encoder.device,
            fill=filling(sum(lengths)),
        )

    def _last_states(self, texts: list[str], layout: Layout, *, straight: bool) -> torch.Tensor:
        """[S, D]; `straight` through the live layers, without the model's own code around them."""
        encoder, fill = self.encoder, layout.fill
        if self.depth:
            states = encoder.hidden(texts, self.depth)
            self._prefix = torch.cat([*states, states[0].new_zeros(fill, states[0].shape[1])]).unsqueeze(0)
        with laid_out(layout), compute_precision():
            if straight:
                first, *others = self.live
                hidden_1SD: Any = first.forward(self._prefix, **self._known_looks(texts, states, fill))
                hidden_1SD = functools.reduce(lambda found, layer: layer.forward(found), others, hidden_1SD)
            else:
                ids = [*itertools.chain.from_iterable(encoder.tokens(texts)), *[encoder.pad_id] * fill]
                ids_1S = torch.tensor([ids], device=encoder.device)
                positions_1S = (layout.positions_S + (encoder.first_position or 0)).unsqueeze(0)
                hidden_1SD = self.model(input_ids=ids_1S, position_ids=positions_1S).last_hidden_state
        self._prefix = None
        hidden_SD: torch.Tensor = hidden_1SD[0]
        return hidden_SD

    def learn_looks(self, texts: Sequence[str]) -> None:
        """Have what frozen states and weights alone give computed for texts, as far as there is room for it.

        To be called before processes part: each would compute and keep it for itself.
        """
        if self._known is None:
            return
        looks, unique = self.encoder.looks(self.depth), list(dict.fromkeys(texts))
        lengths = self.lengths(unique, [0] * len(unique))
        for rows in batches.in_order(range(len(unique)), lengths, token_budget=PACK_TOKENS):
            part = [unique[row] for row in rows]
            looks.keep(part, self.encoder.hidden(part, self.depth), self._known.multiply)
            if not looks.kept.keys() >= set(part):
                return

    def _known_looks(self, texts: list[str], states: list[torch.Tensor], fill: int) -> dict[str, torch.Tensor]:
        if self._known is None:
            return {}
        return {"looks_SO": self.encoder.looks(self.depth).pack(texts, states, fill, self._known.multiply)}

    @torch.no_grad()
    def embed(self, texts: Sequence[str], *, normalise: bool = True, run: int = 0) -> torch.Tensor:
        """[N, D] vectors of a run in evaluation mode, unit length unless told otherwise."""
        was_training = self.training
        self.eval()
        vectors: dict[str, torch.Tensor] = {}
        unique = list(dict.fromkeys(texts))
        lengths = self.lengths(unique, [run] * len(unique))
        for rows in batches.by_length(lengths, token_budget=4 * CHUNK_TOKENS):
            part = [unique[row] for row in rows]
            vectors.update(zip(part, self._chunk(part, [run] * len(part)), strict=True))
        self.train(was_training)
        stacked = torch.stack([vectors[text] for text in texts])
        return unit(stacked) if normalise else stacked

    def set_dropout(self, share: float | None, *, run: int = 0) -> None:
        """A run's dropout of hidden states and attention weights; None: the backbone's own."""
        self.attention_shares[run] = share
        for part in self.model.modules():
            if isinstance(part, RunDropout) and not part.adapters:
                part.share_K[run] = part.models_own if share is None else share
            if self.packs or share is None:
                continue
            if isinstance(part, nn.Dropout):
                part.p = share
            for name in ("attention_dropout", "dropout_prob"):
                if isinstance(getattr(part, name, None), float):
                    setattr(part, name, share)

    @torch.no_grad()
    def reset(self, run: int = 0) -> None:
        """Put the encoder's weights back into a run's slot."""
        original = dict(self.encoder.model.named_parameters())
        self.load_trained({name: original[name] for name in self.moving}, run)

    @property
    def moving(self) -> dict[str, nn.Parameter]:
        """The trainable tensors by name; with several slots, [K, …] each."""
        return {name: tensor for name, tensor in self.model.named_parameters() if tensor.requires_grad}

    def size(self, run: int = 0) -> int:
        """How many of a run's weights move."""
        return sum(parameter.numel() for parameter in self.moving.values()) // self.slots

    def trained(self, run: int = 0) -> dict[str, torch.Tensor]:
        """Copies of a run's trainable tensors by name."""
        return {name: self._of(tensor, run).detach().clone() for name, tensor in self.moving.items()}

    @torch.no_grad()
    def load_trained(self, state: dict[str, torch.Tensor], run: int = 0) -> None:
        """Put back what `trained` gave."""
        own = self.moving
        for name, tensor in state.items():
            self._of(own[name], run).copy_(tensor)

    def _of(self, tensor: torch.Tensor, run: int) -> torch.Tensor:
        return tensor[run] if self.slots > 1 else tensor

    def save(self, folder: Path) -> None:
        """Write the body as a whole Hugging Face encoder."""
        whole = copy.deepcopy(self.encoder.model)
        whole.load_state_dict(self.trained(), strict=False)
        whole.save_pretrained(folder, safe_serialization=True)


def _pass_through(hidden_states: torch.Tensor, *_: Any, others: int | None, **__: Any) -> Any:
    return hidden_states if others is None else (hidden_states, *[None] * others)


@torch.no_grad()
def _other_outputs(model: Any, layer: nn.Module) -> int | None:
    """How many things a layer returns in a tuple beside its states (DeBERTa); None where it returns them bare."""
    seen: list[Any] = []
    hook = layer.register_forward_hook(lambda _layer, _args, output: seen.append(output))
    try:
        token = torch.zeros((1, 1), dtype=torch.long, device=next(iter(model.parameters())).device)
        model(input_ids=token, attention_mask=torch.ones_like(token))
    finally:
        hook.remove()
    return len(seen[0]) - 1 if isinstance(seen[0], tuple) else None


def _copy_sharing_frozen(encoder: Encoder, live: list[nn.Module]) -> Any:
    """A copy in which every parameter outside `live` is the encoder's own tensor, in the format of products."""
    model = encoder.model
    mine = {id(parameter) for layer in live for parameter in layer.parameters()}
    everything = not live and layer_list(model) is None
    shared = [] if everything else [p for p in model.parameters() if id(p) not in mine]
    return sharing_copy(model, {id(parameter): encoder.computed(parameter) for parameter in shared})
