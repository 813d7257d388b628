"""Learned vectors before every text, over a frozen body: one prompt a run, several runs side by side.

The vectors stand where word embeddings would, before the text's own, and each text with its run's vectors attends to
itself alone: a pack holds no padding, and runs of one pack may have prompts of different lengths. What the body gives
back are the states of the texts, the vectors' own left out, so that whoever pools or predicts from them need not know.

Legend: K runs that there is room for, P vectors of the longest prompt, E width of a word embedding, S tokens of a pack,
vectors included, B texts, T tokens of the longest, N tokens of all texts.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fewtune.backbones import batches
from fewtune.backbones.body import Body
from fewtune.backbones.encoder import Encoder
from fewtune.backbones.layers import sharing_copy
from fewtune.backbones.layout import Layout, laid_out
from fewtune.backbones.precision import compute_precision
from fewtune.backbones.quiet import quiet
from fewtune.errors import BackboneDamaged

LEAST_ROOM = 16
"""Tokens that a prompt must leave a text."""
SAVED = "prompt_embeddings"
"""What PEFT calls the vectors in a file."""
VECTORS = "embedding.weight"
"""What it calls them inside its prompt encoder."""


def room_for_prompts(encoder: Encoder) -> int:
    """The most vectors that leave a text room; texts that then no longer fit are cut."""
    return positions(encoder) - LEAST_ROOM


def positions(encoder: Encoder) -> int:
    """How many tokens the backbone can read, whatever its files recommend."""
    stated = int(getattr(encoder.model.config, "max_position_embeddings", None) or 0)
    return max(stated - (encoder.first_position or 0), encoder.max_tokens)


class PromptBody(Body):
    """A frozen body that reads a run's vectors before each of its texts.

    Parameters
    ----------
    seeds : one a run.
    tokens : P; runs may have shorter prompts.
    width : numbers learned for each place; those of a word embedding when not given.
    """

    def __init__(self, encoder: Encoder, *, seeds: Sequence[int], tokens: int, width: int | None = None) -> None:
        super().__init__(encoder, depth=0, train_layers=False, seeds=seeds)
        self.embedding_KPE = nn.Parameter(
            torch.zeros(self.slots, tokens, width or embedding_width(encoder), device=encoder.device)
        )
        self.tokens_K = [tokens] * self.slots
        self.finish_up()

    def finish_up(self) -> None:
        """Once all parts stand."""
        self.fuse()

    @property
    def moving(self) -> dict[str, nn.Parameter]:
        """What is learned, [K, …] each, by the names PEFT has inside its prompt encoder."""
        return {VECTORS: self.embedding_KPE}

    @torch.no_grad()
    def enter(self, slot: int, start: Mapping[str, torch.Tensor]) -> None:
        """Begin a run in a slot, with what it starts from; what is beyond that is never read."""
        self.tokens_K[slot] = len(start[VECTORS])
        for name, own in self.moving.items():
            own[slot].zero_()
            own[slot][tuple(slice(size) for size in start[name].shape)] = start[name].to(own)

    @torch.no_grad()
    def learned(self, run: int = 0) -> dict[str, torch.Tensor]:
        """Copies of what a run has learned, its prompt as long as it is."""
        found = self.trained(run)
        return found | {VECTORS: found[VECTORS][: self.tokens_K[run]]}

    def size(self, run: int = 0) -> int:
        """Numbers that a run learns."""
        return sum(tensor.numel() for tensor in self.learned(run).values())

    def _of(self, tensor: torch.Tensor, run: int) -> torch.Tensor:
        return tensor[run]

    def prompts(self) -> torch.Tensor:
        """[K, P, E] what is read before the texts of each run."""
        return self.embedding_KPE

    def lengths(self, texts: Sequence[str], runs: Sequence[int]) -> list[int]:
        """Tokens of each text and its run's vectors."""
        found = zip(runs, self._ids(texts, runs), strict=True)
        return [self.tokens_K[run] + len(ids) for run, ids in found]

    def _ids(self, texts: Sequence[str], runs: Sequence[int]) -> list[list[int]]:
        """Tokens of each text, cut where the vectors leave it less room; its last token, which may end it, stays."""
        most = positions(self.encoder)
        found = []
        for run, ids in zip(runs, self.encoder.tokens(texts), strict=True):
            own = most - self.tokens_K[run]
            found.append(ids if len(ids) <= own else [*ids[: own - 1], ids[-1]])
        return found

    def packed_states(self, texts: list[str], runs: Sequence[int]) -> tuple[torch.Tensor, Layout]:
        """[N, D] the last layer's states of the texts, and where each stands in them."""
        ids, whole = self._ids(texts, runs), self._layout(texts, runs)
        hidden_SD = self._states(ids, runs, whole)
        bare = Layout([len(own) for own in ids], runs=runs, device=self.encoder.device)
        of_texts = [
            np.arange(start + self.tokens_K[run], start + self.tokens_K[run] + len(own))
            for start, run, own in zip(whole.starts, runs, ids, strict=False)
        ]
        places_N = torch.from_numpy(np.concatenate(of_texts)).to(self.encoder.device)
        return hidden_SD.index_select(0, places_N), bare

    def _states(self, ids: Sequence[Sequence[int]], runs: Sequence[int], layout: Layout) -> torch.Tensor:
        """[S, D] of vectors and texts."""
        positions_1S = (layout.positions_S + (self.encoder.first_position or 0)).unsqueeze(0)
        with laid_out(layout), compute_precision():
            embedded_1SE = self._embedded(ids, runs, layout.fill).unsqueeze(0)
            found: torch.Tensor = self.model(inputs_embeds=embedded_1SE, position_ids=positions_1S).last_hidden_state
        return found[0]

    def _embedded(self, ids: Sequence[Sequence[int]], runs: Sequence[int], fill: int) -> torch.Tensor:
        """[S, E] each text's vectors and words, one text behind the other, and what fills the pack up."""
        flat = [*itertools.chain.from_iterable(ids), *[self.encoder.pad_id] * fill]
        words_NE = self.model.get_input_embeddings()(torch.tensor(flat, device=self.encoder.device))
        prompts_KPE = self.prompts()
        order, start = [], 0
        for run, own in zip(runs, ids, strict=True):
            vectors = len(flat) + run * prompts_KPE.shape[1] + np.arange(self.tokens_K[run])
            order += [vectors, np.arange(start, start + len(own))]
            start += len(own)
        order_S = np.concatenate([*order, np.arange(start, len(flat))])
        both = torch.cat([words_NE, prompts_KPE.flatten(0, 1).to(words_NE.dtype)])
        return both.index_select(0, torch.from_numpy(order_S).to(words_NE.device))

    def _padded_states(self, texts: list[str]) -> tuple[torch.Tensor, torch.Tensor]:
        """[B, T, D] and the [B, T] mask, of texts padded on the right, without the vectors before them."""
        ids_BT, mask_BT = batches.pad_tokens(self._ids(texts, [0] * len(texts)), self.encoder.pad_id)
        ids_BT, mask_BT = ids_BT.to(self.encoder.device), mask_BT.to(self.encoder.device)
        tokens = self.tokens_K[0]
        words_BTE = self.model.get_input_embeddings()(ids_BT)
        prompts_BPE = self.prompts()[:1, :tokens].to(words_BTE.dtype).expand(len(ids_BT), -1, -1)
        seen = torch.cat([mask_BT.new_ones(len(ids_BT), tokens), mask_BT], dim=1)
        with compute_precision():
            hidden = self.model(
                inputs_embeds=torch.cat([prompts_BPE, words_BTE], dim=1), attention_mask=seen
            ).last_hidden_state
        return hidden[:, tokens:], mask_BT

    def save(self, folder: Path) -> None:
        """Write the vectors of the first slot as PEFT does."""
        from peft import PromptTuningConfig

        model, start = self.encoder.model, self.learned()
        config = PromptTuningConfig(
            num_virtual_tokens=len(start[VECTORS]),
            token_dim=start[VECTORS].shape[1],
            num_attention_heads=model.config.num_attention_heads,  # which PEFT does not find in every config
            task_type="FEATURE_EXTRACTION",
        )
        save_in_peft(in_peft(model, config, start), folder)


def embedding_width(encoder: Encoder) -> int:
    """E; of some architectures not the width of their states."""
    return int(encoder.model.get_input_embeddings().weight.shape[1])


def in_peft(model: Any, config: Any, tensors: Mapping[str, torch.Tensor]) -> Any:
    """PEFT's model around a copy of `model` that shares its tensors, with what was learned in place of what it drew."""
    from peft import get_peft_model

    with quiet(), torch.random.fork_rng():
        found: Any = get_peft_model(sharing_copy(model), config)
        with torch.no_grad():
            for name, own in found.prompt_encoder["default"].named_parameters():
                own.copy_(tensors[name])
    return found.to(model.device).requires_grad_(False).eval()


def save_in_peft(model: Any, folder: Path) -> None:
    """`adapter/`, written by PEFT."""
    with quiet():
        # Word embeddings never move; asked to find that out, PEFT would look for the base on the Hub.
        model.save_pretrained(folder / "adapter", safe_serialization=True, save_embedding_layers=False)


def saved_vectors(adapter: Path) -> torch.Tensor:
    """[P, E] the vectors in a folder written by PEFT. Raises BackboneDamaged where they cannot be read."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = adapter / "adapter_model.safetensors"
    try:
        found: torch.Tensor = load_file(str(path))[SAVED]
    except (OSError, SafetensorError, KeyError) as error:
        raise BackboneDamaged(f"{path} is damaged, or holds no prompt. Fit again, or restore it.") from error
    return found


def embedded(encoder: Encoder, ids: Sequence[int]) -> torch.Tensor:
    """[P, E] the word embeddings of token ids."""
    with torch.no_grad():
        found: torch.Tensor = encoder.model.get_input_embeddings()(torch.tensor(list(ids), device=encoder.device))
    return found.float()
