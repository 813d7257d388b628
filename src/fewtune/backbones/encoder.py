"""An encoder whose every frozen answer is computed once: tokens, hidden states below a layer, embeddings.

Legend: B texts, T tokens, D width.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewtune.backbones.looks import Looks
from fewtune.backbones.packed import first_position
from fewtune.backbones.passes import Batches, Frozen, Packs
from fewtune.backbones.pooling import Pooling
from fewtune.backbones.precision import detect
from fewtune.backbones.prefix.answers import Answers, Block
from fewtune.backbones.prefix.kinds import key_of, kind, kind_folder
from fewtune.backbones.prefix.limits import shared_room

Vectors = NDArray[np.float32]
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
        self._keys: dict[str, bytes] = {}
        self._kept: dict[int | None, Answers] = {}
        self._looks: dict[int, Looks] = {}
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
        """[N, D] unit-length embeddings from the frozen backbone; `progress` is told how many texts more are done."""
        return np.ascontiguousarray(self._both(texts, progress)[:, 1])

    def features(self, texts: Sequence[str]) -> Vectors:
        """[N, 2D] unit-length: the pooled states at two thirds of the depth beside the embedding.

        What the last layer has thrown away to be a good similarity (mood, form, register) is still there two thirds
        up: a frozen probe on both beats one on the last layer by 2.4 points on the mean of five sets (LAB.md).
        """
        both_N2D = self._both(texts, None)
        return both_N2D.reshape(len(both_N2D), 2 * self.width) / np.float32(np.sqrt(2))

    def directions(self, texts: Sequence[str]) -> Vectors:
        """[N, 2D]: times the `features` of a text, the cosine of its embedding with that of each of these."""
        embedded_ND = np.float32(np.sqrt(2)) * self.embed(texts)
        return np.concatenate([np.zeros_like(embedded_ND), embedded_ND], axis=1)

    def _both(self, texts: Sequence[str], progress: Callable[[int], None] | None) -> Vectors:
        if not texts:
            return np.zeros((0, 2, self.width), dtype=np.float32)
        wanted = self._by_key(texts)
        found = self._answers(None).get(wanted, progress)
        if progress is not None:  # texts whose tokens are another's are done with it
            progress(len(set(texts)) - len(wanted))
        return torch.stack([found[self._keys[text]] for text in texts]).cpu().numpy()

    def hidden(self, texts: Sequence[str], depth: int) -> list[torch.Tensor]:
        """[T, D] states after the first `depth` layers for each text: the prefix every run above it shares."""
        found = self._answers(depth).get(self._by_key(texts))
        return [found[self._keys[text]] for text in texts]

    def looks(self, depth: int) -> Looks:
        """What queries, keys and values the layer above the first `depth` gives for texts whose states are cached."""
        if depth not in self._looks:
            self._looks[depth] = Looks(shared_room(self.device))
        return self._looks[depth]

    def read_anew(self, texts: Sequence[str]) -> int:
        """Compute what `embed` would give, past all that is kept, and throw it away; how many tokens were read."""
        tokens = self.tokens(texts)
        for _ in self._frozen.pooled(tokens):
            pass
        return sum(map(len, tokens))

    def prepare(self, texts: Sequence[str], depth: int) -> None:
        """Have `hidden` computed and kept for each text; no more of it is held in memory than there is room for."""
        self._answers(depth).prepare(self._by_key(texts))

    def _by_key(self, texts: Sequence[str]) -> dict[bytes, list[int]]:
        """Tokens of each different text."""
        tokens = self.tokens(texts)
        for text, ids in zip(texts, tokens, strict=True):
            if text not in self._keys:
                self._keys[text] = key_of(ids)
        return {self._keys[text]: ids for text, ids in zip(texts, tokens, strict=True)}

    def _answers(self, depth: int | None) -> Answers:
        """The states after `depth` layers; pooled vectors where it is None."""
        if depth not in self._kept:
            self._kept[depth] = self._open_answers(depth)
        return self._kept[depth]

    def _open_answers(self, depth: int | None) -> Answers:
        what = f"pooled {self.pooling.mode}" if depth is None else f"layer {depth}"
        attention = str(getattr(self.model.config, "_attn_implementation", ""))
        parts = kind(fingerprint=self.fingerprint, what=what, attention=attention, device=self.device)

        def compute(tokens: Sequence[Sequence[int]]) -> Iterator[Block]:
            return self._frozen.pooled(tokens) if depth is None else self._frozen.states(tokens, depth)

        return Answers(
            compute,
            folder=kind_folder(parts),
            about={**parts, "name": self.name},
            room=shared_room(self.device),
            device=self.device,
        )

    @cached_property
    def _frozen(self) -> Frozen:
        first = self.first_position
        if self.device.type == "cpu" and first is not None:
            return Packs(self.model, self.computed, self.pooling.mode, first=first, pad_id=self.pad_id)
        return Batches(self.model, self.computed, self.pooling.mode)

    def __getstate__(self) -> dict[str, Any]:
        """A copy, here or in another process, has a cache of its own: open files cannot be handed on."""
        own = {key: value for key, value in self.__dict__.items() if key != "_frozen"}
        return own | {"_kept": {}, "_looks": {}, "_computed": {}}


def unit(vectors_BD: torch.Tensor) -> torch.Tensor:
    """Each vector scaled to length one."""
    return torch.nn.functional.normalize(vectors_BD.float(), dim=-1)


def encodable(text: str) -> str:
    """The text with halves of surrogate pairs replaced: no tokenizer takes them."""
    return text.encode("utf-8", "replace").decode("utf-8") if not text.isascii() else text
