"""An encoder whose every frozen answer is computed once: tokens, hidden states below a layer, embeddings.

Legend: B texts, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewtune.backbones import batches
from fewtune.backbones.packed import first_position
from fewtune.backbones.pooling import POOLS, Pooling
from fewtune.backbones.precision import compute_precision, detect

Vectors = NDArray[np.float32]
TOKENS_PER_BATCH = 4096
LONGEST_CHARACTERS_PER_TOKEN = 64
"""Text beyond `max_tokens` times this many characters cannot reach the model and is cut before tokenising, so that a
1 MB cell costs no more than a long one."""


class Encoder:
    """A frozen backbone. Everything it says about a text is kept, so folds, seeds and rungs share it.

    Parameters
    ----------
    model, tokenizer : the Hugging Face pair, as loaded.
    name : what the person asked for.
    fingerprint : hash of the weights and tokenizer files.
    pooling : how token vectors become one vector.
    max_tokens : longer texts are truncated (counted in `truncated`).
    folder : where its files lie.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        *,
        name: str,
        fingerprint: str,
        pooling: Pooling,
        max_tokens: int,
        folder: Path,
    ) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)
        self.name, self.fingerprint, self.folder = name, fingerprint, folder
        self.pooling, self.max_tokens = pooling, max_tokens
        self.truncated: set[str] = set()
        self._tokens: dict[str, list[int]] = {}
        self._vectors: dict[str, Vectors] = {}
        self._hidden: dict[int, dict[str, torch.Tensor]] = {}
        self._computed: dict[int, torch.nn.Parameter] = {}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        found: torch.device = next(iter(self.model.parameters())).device
        return found

    @cached_property
    def first_position(self) -> int | None:
        """The number of a text's first position when texts are packed; None where they must be padded."""
        return first_position(self.model, self.pad_id)

    def computed(self, parameter: torch.nn.Parameter) -> torch.nn.Parameter:
        """A frozen parameter in the format products run in: cast once, shared by every run."""
        if detect() != "bf16" or id(parameter) not in self._matrices:
            return parameter
        if id(parameter) not in self._computed:
            self._computed[id(parameter)] = torch.nn.Parameter(parameter.detach().bfloat16(), requires_grad=False)
        return self._computed[id(parameter)]

    @cached_property
    def _matrices(self) -> set[int]:
        """Which parameters belong to linear layers; norms and embeddings stay float32."""
        linear = [part for part in self.model.modules() if type(part).__name__ in ("Linear", "Conv1D")]
        embedded = {
            id(p) for part in self.model.modules() if isinstance(part, torch.nn.Embedding) for p in part.parameters()
        }
        return {id(p) for part in linear for p in part.parameters(recurse=False)} - embedded

    @property
    def width(self) -> int:
        """D, the length of an embedding."""
        return int(self.model.config.hidden_size)

    @property
    def parameters(self) -> int:
        """How many weights the backbone has."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def pad_id(self) -> int:
        """The padding token, 0 where the tokenizer has none."""
        return int(self.tokenizer.pad_token_id or 0)

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, special tokens included, truncated at `max_tokens`."""
        missing = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        for start in range(0, len(missing), 1000):
            part = missing[start : start + 1000]
            cut = [encodable(text[: self.max_tokens * LONGEST_CHARACTERS_PER_TOKEN]) for text in part]
            # One more than the limit, so that truncation is seen and not guessed.
            coded = self.tokenizer(cut, truncation=True, max_length=self.max_tokens + 1)["input_ids"]
            for text, short, ids in zip(part, cut, coded, strict=True):
                if len(ids) > self.max_tokens or len(short) < len(text):
                    self.truncated.add(text)
                    ids = self.tokenizer(short, truncation=True, max_length=self.max_tokens)["input_ids"]
                self._tokens[text] = list(ids)
        return [self._tokens[text] for text in texts]

    def full_lengths(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text were nothing cut; of a text beyond any model's reach, an estimate from its beginning."""
        most = self.max_tokens * LONGEST_CHARACTERS_PER_TOKEN
        unique = list(dict.fromkeys(texts))
        coded = self.tokenizer([encodable(text[:most]) for text in unique])["input_ids"] if unique else []
        lengths = {t: round(len(ids) * max(1.0, len(t) / most)) for t, ids in zip(unique, coded, strict=True)}
        return [lengths[text] for text in texts]

    def embed(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> Vectors:
        """[N, D] unit-length embeddings from the frozen backbone; `progress` is told of each batch's size."""
        return np.ascontiguousarray(self._both(texts, progress)[:, 1])

    def features(self, texts: Sequence[str]) -> Vectors:
        """[N, 2D] unit-length: the pooled states at two thirds of the depth beside the embedding.

        What the last layer has thrown away to be a good similarity (mood, form, register) is still there two thirds
        up: a frozen probe on both beats one on the last layer by 2.4 points on the mean of five sets (LAB.md).
        """
        both_N2D = self._both(texts, None)
        return both_N2D.reshape(len(both_N2D), 2 * self.width) / np.float32(np.sqrt(2))

    def _both(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> Vectors:
        missing = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        tokens = self.tokens(missing)
        for rows in batches.by_length([len(ids) for ids in tokens], token_budget=TOKENS_PER_BATCH):
            ids_BT, mask_BT = batches.pad_tokens([tokens[row] for row in rows], self.pad_id)
            vectors_B2D = self._pooled(ids_BT, mask_BT).cpu().numpy()
            self._vectors.update({missing[row]: vectors_B2D[place] for place, row in enumerate(rows)})
            if progress is not None:
                progress(len(rows))
        if not texts:
            return np.zeros((0, 2, self.width), dtype=np.float32)
        return np.stack([self._vectors[text] for text in texts])

    @torch.no_grad()
    def _pooled(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor) -> torch.Tensor:
        ids_BT, mask_BT = ids_BT.to(self.device), mask_BT.to(self.device)
        with compute_precision():
            answer = self.model(input_ids=ids_BT, attention_mask=mask_BT, output_hidden_states=True)
        pool = POOLS[self.pooling.mode]
        middle = answer.hidden_states[len(answer.hidden_states) * 2 // 3]
        return torch.stack([unit(pool(h.float(), mask_BT)) for h in (middle, answer.last_hidden_state)], dim=1)

    def hidden(self, texts: Sequence[str], depth: int) -> list[torch.Tensor]:
        """[T, D] states after the first `depth` layers for each text: the prefix every run above it shares."""
        kept = self._hidden.setdefault(depth, {})
        missing = [text for text in dict.fromkeys(texts) if text not in kept]
        tokens = self.tokens(missing)
        for rows in batches.by_length([len(ids) for ids in tokens], token_budget=TOKENS_PER_BATCH):
            ids_BT, mask_BT = batches.pad_tokens([tokens[row] for row in rows], self.pad_id)
            hidden_BTD = self._states(ids_BT, mask_BT, depth)
            for place, row in enumerate(rows):
                kept[missing[row]] = hidden_BTD[place, : len(tokens[row])].clone()
        return [kept[text] for text in texts]

    @torch.no_grad()
    def _states(self, ids_BT: torch.Tensor, mask_BT: torch.Tensor, depth: int) -> torch.Tensor:
        ids_BT, mask_BT = ids_BT.to(self.device), mask_BT.to(self.device)
        with compute_precision():
            states = self.model(input_ids=ids_BT, attention_mask=mask_BT, output_hidden_states=True).hidden_states
        chosen: torch.Tensor = states[depth]
        return chosen.bfloat16() if detect() == "bf16" else chosen.float()

    def kept(self) -> tuple[dict[str, Vectors], dict[int, dict[str, torch.Tensor]]]:
        """What it has said so far: [2, D] vectors by text, and [T, D] states by depth and text."""
        return dict(self._vectors), {depth: dict(states) for depth, states in self._hidden.items()}

    def keep(self, vectors: Mapping[str, Vectors], states: Mapping[int, Mapping[str, torch.Tensor]]) -> None:
        """Take over what another process's encoder of the same weights has said."""
        self._vectors.update(vectors)
        for depth, by_text in states.items():
            self._hidden.setdefault(depth, {}).update(by_text)


def unit(vectors_BD: torch.Tensor) -> torch.Tensor:
    """Each vector scaled to length one."""
    return torch.nn.functional.normalize(vectors_BD.float(), dim=-1)


def encodable(text: str) -> str:
    """The text with halves of surrogate pairs replaced: no tokenizer takes them."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
