"""What LoRA, top-layers-only and full tuning of a model that writes share: the loss of the next token, completion only.

The loss of a batch is the mean over its tokens that count, as trainers commonly have it. Rows are packed one behind the
other and see themselves alone; where an architecture cannot be packed they are padded.

Legend: N rows, B rows of a batch.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from fewtune.augment.phrases import PhraseExchange
from fewtune.backbones.language.sharded import gathered, let_go
from fewtune.data.base import Example
from fewtune.data.general import to_write
from fewtune.errors import UsageError
from fewtune.methods.base import Fitted, IntArray, Material, Stack, Tunable, TunedMethod, Watched, Written
from fewtune.methods.generation.base import (
    ModelWriter,
    WritingMethod,
    costs_of,
    language_model_of,
    long_enough,
    written,
)
from fewtune.methods.generation.moving import Moving, PackedMoving, WholeMoving
from fewtune.methods.passes import in_batches, shuffled

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.encode import Encoded, Turns
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk
    from fewtune.backbones.team import Team

DEFAULT_WIDTH = 320
"""Of the model that default rates were chosen on, the starter. A wider one wants smaller ones."""
ROWS_TO_SPARE = 200
"""Training rows below which every one is worth more in training, whatever share is asked for.

Cross-validation says how many epochs are best (`study/epochs.py`), and by what is written. The loss of rows set aside
turns long before: on 200 rows of restaurants, 24 epochs stopped by it wrote 21.5 BLEU, and the whole of them 37.3.
"""
MOST_VARIANTS = 24
"""Rows made of one at most, for as many passes."""


@dataclass(frozen=True)
class NextTokenMethod(WritingMethod, TunedMethod):
    """Hyper-parameters of tuning on the next token; subclasses say which weights move."""

    width_power: ClassVar[float] = 0.0
    """How the default rate falls with a model's width: as (320 / width) to this power."""

    rate: float = 2e-5
    """Peak rate; the default is that of a model 320 wide."""
    weight_decay: float = 0.01
    batch_size: int = 8
    """Rows a step. Small, since on little data the number of steps counts."""
    epochs: float = 6.0
    """Passes over the rows; the study tries longer and shorter ones."""
    least_steps: int = 8
    most_steps: int = 20_000
    dropout: float | None = None
    """Overrides the backbone's own dropout when given."""
    neftune: float = 0.0
    """Strength of the noise on word embeddings in training (Jain and others 2023, who take 5 to 15); 0 is none."""
    exchange: float = 0.0
    """Share of the passes in which a row's copied phrases are exchanged for others (`augment/phrases.py`); 0 is none.
    The study tries it where there is something to exchange."""
    all_turns: bool = True
    """Whether earlier answers of a conversation are learned too; scores are of the last one alone."""
    spare: float = 0.0
    """Share of the rows set aside to stop early by, from 200 rows on; 0 never sets any aside. How long to tune is found
    out by the study."""

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.epochs <= 0 or self.rate <= 0:
            raise UsageError(f"{self.name}: rate, epochs and batch size are more than 0.")
        if not 0 <= self.spare < 1 or self.neftune < 0:
            raise UsageError(f"{self.name}: the share to spare is below 1, and neither it nor the noise below 0.")
        if not 0 <= self.exchange <= 1:
            raise UsageError(f"{self.name}: the share of passes with exchanged phrases is from 0 to 1.")

    @property
    def called(self) -> str:
        """With its epochs, and whether phrases are exchanged: the study tries several."""
        exchanged = ", phrases exchanged" if self.exchange else ""
        return f"{self.title}, {self.epochs:g} epoch{'' if self.epochs == 1 else 's'}{exchanged}"

    def suited(self, language_model: LanguageModel) -> NextTokenMethod:
        """With the rate of a model so wide; one narrower than the starter gets the starter's."""
        share = min(1.0, DEFAULT_WIDTH / language_model.width) ** self.width_power
        return self if share == 1 else replace(self, rate=float(f"{self.rate * share:.2g}"))

    @abstractmethod
    def moving(self, language_model: LanguageModel, seed: int) -> Moving:
        """A private copy of the model with the weights that move unfrozen."""

    def total_steps(self, material: Material) -> int:
        """Passes turned into steps; what is replayed makes a pass longer."""
        rows = float(len(material.examples))
        if material.mix is not None:
            rows = material.mix.pass_length(len(material.examples))
        steps = int(np.ceil(self.epochs * rows / self.batch_size))
        return int(min(max(steps, self.least_steps), self.most_steps))

    def validation_share(self, material: Material) -> float:
        """A tenth of the rows once there are enough of them."""
        return self.spare if len(material.examples) >= ROWS_TO_SPARE else 0.0

    def build(self, material: Material) -> Tunable:
        """The model with what moves, and the rows as tokens."""
        return NextTokenTunable(self, material)

    def shared(self) -> Hashable:
        """What runs that are trained side by side have in common; None where they never are."""
        return None

    def stack_key(self) -> Hashable:
        """None for runs that build something of their own, or draw noise from torch's stream, which all share."""
        plain = type(self).build is NextTokenMethod.build
        return self.shared() if plain and not self.neftune else None

    def backbone(self, material: Material) -> Encoder:
        """The trunk."""
        from fewtune.backbones.language.trunk import trunk_of

        return trunk_of(language_model_of(material))

    def lengths(self, material: Material) -> list[int]:
        """Of prompt and completion."""
        rows = language_model_of(material).encode_all(material.examples, material.template, overlong="cut")
        return [row.tokens + self.before for row in rows]

    def packed(self, trunk: Trunk, seeds: Sequence[int], largest: int) -> Body:
        """A packed body with room for a run for each seed; `largest` is the largest `extent` of them."""
        raise NotImplementedError(f"{self.name} is trained padded")

    def in_slot(self, language_model: LanguageModel, body: Body, slot: int, seed: int) -> PackedMoving:
        """A run's beginning in a slot of what `packed` made."""
        raise NotImplementedError(f"{self.name} is trained padded")

    def alone(self, trunk: Trunk, seed: int) -> PackedMoving:
        """A run by itself, packed."""
        return self.in_slot(trunk.language_model, self.packed(trunk, [seed], self.extent), 0, seed)

    def stack(self, encoder: Encoder, methods: Sequence[Any], classes: int) -> Stack:
        """Room for one run of each of `methods`."""
        from fewtune.backbones.language.trunk import Trunk
        from fewtune.methods.generation.stacked import NextTokenStack

        assert isinstance(encoder, Trunk)
        body = self.packed(encoder, [0] * len(methods), max(method.extent for method in methods))
        return NextTokenStack(body, methods)


class MovingTunable(Tunable):
    """One run of a model some of whose weights move, whatever its loss."""

    method: Any
    """With a `rate` and a `weight_decay`."""
    model: Moving

    def parameter_groups(self) -> list[dict[str, Any]]:
        """As the moving weights have them."""
        return self.model.groups(self.method.rate, self.method.weight_decay)

    def state(self) -> dict[str, torch.Tensor]:
        """What moves."""
        return self.model.trained()

    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put it back."""
        self.model.load_trained(state)

    def train(self, mode: bool) -> None:
        """Dropout and embedding noise on or off."""
        self.model.train(mode)


class NextTokenTunable(MovingTunable):
    """One run."""

    adds_up = True

    def __init__(self, method: NextTokenMethod, material: Material, model: Moving | None = None) -> None:
        self.method, self.material = method, material
        self.language_model = language_model_of(material)
        self.template = self.language_model.settle(material.template)
        if self.language_model.team is not None:
            let_go(self.language_model)
        self.model = model or method.moving(self.language_model, material.seed)
        self.language_model = self.model.language_model  # whose context virtual tokens make shorter
        self.model.set_dropout(method.dropout)
        self.model.set_embedding_noise(method.neftune)
        self.model.share_out()
        self.turns: Turns = "all" if method.all_turns else "last"
        replayed = () if material.mix is None else material.mix.replay
        kind = self.language_model.kind
        learnt = [*material.examples, *(to_write(example, kind) for example in replayed)]
        self.notes: tuple[str, ...] = ()
        self.variants: dict[int, range] = {}
        """By row, the numbers of those made of it."""
        for row, made in self._made().items():
            self.variants[row] = range(len(learnt), len(learnt) + len(made))
            learnt += made
        self.rows = [
            self.language_model.encode_all([example], self.template, turns=self.turns, overlong="cut")
            for example in learnt
        ]

    def _made(self) -> dict[int, list[Example]]:
        """By row, others made of it by exchanging phrases: as many as there are passes, so none is learnt by heart."""
        if not self.method.exchange:
            return {}
        examples, seed = self.material.examples, self.material.seed
        exchange = PhraseExchange.fit(examples)
        passes = min(MOST_VARIANTS, int(np.ceil(self.method.epochs)))
        made = {row: exchange.augment([example], passes, seed + row) for row, example in enumerate(examples)}
        types = ", ".join(repr(kind) for kind in sorted(exchange.pools)[:6])
        self.notes = (f"phrases exchanged after {types}" if types else "no phrases found that could be exchanged",)
        return {row: variants for row, variants in made.items() if variants}

    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """Shuffled passes over the rows, cut into batches, until the step count is reached."""
        count, size = len(self.material.examples), self.method.batch_size
        mix = self.material.mix
        passes = shuffled(count, rng) if mix is None else mix.passes(count, rng)
        steps = self.method.total_steps(self.material)
        return in_batches(self._exchanged(passes, rng), size=size, count=count, steps=steps)

    def _exchanged(self, passes: Iterator[IntArray], rng: np.random.Generator) -> Iterator[IntArray]:
        """The passes, with a row's place now and then taken by one made of it."""
        if not self.variants:
            yield from passes
            return
        for rows in passes:
            draws = zip(rows.tolist(), *rng.random((2, len(rows))).tolist(), strict=True)
            yield np.array([self._met(*draw) for draw in draws], dtype=np.int64)

    def _met(self, row: int, whether: float, which: float) -> int:
        """The number of the row or of one made of it, by two draws from 0 to 1."""
        variants = self.variants.get(row)
        return variants[int(which * len(variants))] if variants and whether < self.method.exchange else row

    def loss(self, indices: IntArray) -> torch.Tensor:
        """Mean over the tokens of the batch that count."""
        return mean_loss(self.model, self.windows(indices))

    def share(self, rows: IntArray, batch: IntArray) -> torch.Tensor:
        """The rows' nats over all tokens of the batch that count."""
        counted = sum(row.counted_tokens for row in self.windows(batch))
        return self.model.costs(self.windows(rows)).sum() / max(1, counted)

    def windows(self, indices: IntArray) -> list[Encoded]:
        """The rows as tokens."""
        return [window for row in indices for window in self.rows[row]]

    def evaluation_loss(self, texts: Sequence[str], labels_N: IntArray) -> float:
        """Of plain texts."""
        return self.watched_loss(Watched(texts, labels_N, [Example(text) for text in texts]))

    @torch.no_grad()
    def watched_loss(self, rows: Watched) -> float:
        """Mean over the tokens of the last answers."""
        windows = self.language_model.encode_all(rows.examples, self.template, turns="last", overlong="cut")
        return float(mean_loss(self.model, windows))

    def chance_loss(self) -> float | None:
        """Not defined: a model that writes starts far below chance."""
        return None

    def compute_again(self) -> bool:
        """Every layer that gradients go through."""
        return self.model.compute_again()

    def demand(self, rows: int, *, again: bool) -> int:
        """Of the rows that are longest as tokens."""
        from fewtune.backbones.language.demand import demand

        return demand(self.language_model, longest(self.rows, rows), again=again)

    def random_state(self) -> Any:
        """The stream of its dropout."""
        return self.model.random_state()

    def load_random_state(self, state: Any) -> None:
        """Put the stream back."""
        self.model.load_random_state(state)

    def finish(self) -> Fitted:
        """The model as it stands."""
        self.model.train(False)
        fitted = TunedWriter(self.method, self.model, self.language_model, self.material)
        fitted.notes = (*self._mixed(), *self.notes)
        return fitted

    def _mixed(self) -> tuple[str, ...]:
        """What share of the tokens learnt was replayed: rows are not of one length."""
        mix, own = self.material.mix, len(self.material.examples)
        if mix is None or not mix.replay:
            return ()
        counted = [sum(window.counted_tokens for window in row) for row in self.rows]
        shares, starts = mix.shares(own), own + np.cumsum([0, *(len(one.examples) for one in mix.replayed)])
        means = [float(np.mean(counted[a:b])) for a, b in itertools.pairwise(starts.tolist())]
        replayed = sum(share * mean for share, mean in zip(shares[-len(means) :], means, strict=True))
        tasks = np.asarray(mix.task_N or [0] * own)
        learnt = sum(
            share * float(np.mean([counted[row] for row in np.flatnonzero(tasks == task)]))
            for task, share in enumerate(shares[: -len(means)])
            if share
        )
        return (f"{mix.share:.0%} of the rows, {replayed / (replayed + learnt):.0%} of the tokens learnt, replayed.",)


def longest(rows: Sequence[Sequence[Encoded]], count: int) -> list[Encoded]:
    """The windows of so many rows, those with most tokens."""
    ordered = sorted(rows, key=lambda row: sum(window.tokens for window in row), reverse=True)
    return [window for row in ordered[:count] for window in row]


def mean_loss(model: Moving, rows: Sequence[Encoded]) -> torch.Tensor:
    """Nats a token over the rows' tokens that count."""
    counted = sum(row.counted_tokens for row in rows)
    return model.costs(rows).sum() / max(1, counted)


class TunedWriter(ModelWriter):
    """A tuned model: scored as it was trained, and merged into plain weights when it writes."""

    def __init__(
        self, method: NextTokenMethod, model: Moving, language_model: LanguageModel, material: Material
    ) -> None:
        super().__init__(language_model, material.template, long_enough(material))
        self.method, self.model, self._opened = method, model, language_model_of(material)
        self.trainable_parameters = model.size
        self._merged: LanguageModel | None = None

    @torch.no_grad()
    def costs(self, examples: Sequence[Example]) -> Written:
        """What the completions cost."""
        windows = [
            self.language_model.encode_all([example], self.template, turns="last", overlong="cut")
            for example in examples
        ]
        return costs_of(windows, lambda rows: self.model.costs(rows).double().cpu().numpy())

    @property
    def merged(self) -> LanguageModel:
        """The language model with the trained weights in place."""
        if self._merged is None:
            # What processes share cannot be merged: it writes as it was trained.
            shared = self.language_model.team is not None and isinstance(self.model, WholeMoving)
            model = self.model.whole.model if shared else self.model.merged()  # type: ignore[attr-defined]
            self._merged = replace(self.language_model, model=model, _computed={})
        return self._merged

    def write(self, examples: Sequence[Example], settings: Any = None) -> list[str]:
        """Greedily, unless `settings` say otherwise."""
        return written(self.merged, examples, self.template, settings or self.settings)

    def save(self, folder: Path) -> None:
        """The adapter as PEFT has it, or the whole model as transformers does."""
        if self.language_model.team is None:
            self.model.save(folder)
        else:
            self._save_gathered(folder, self.language_model.team)

    def _save_gathered(self, folder: Path, team: Team) -> None:
        """All processes gather what moved; the one that leads writes it from a model that is whole."""
        state = gathered(self.model.trained())
        if team.leads:
            plain = self.method.moving(replace(self._opened, team=None, padded=True, _computed={}), 0)
            plain.load_trained(state)
            plain.save(folder)


__all__ = ["NextTokenMethod", "NextTokenTunable", "TunedWriter", "mean_loss"]
