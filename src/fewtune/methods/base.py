"""The contract between a method and the rest: what it is given, what it must give back.

A method is a frozen dataclass of its hyper-parameters. It is one of two kinds:

- `ClosedFormMethod`: needs no gradient (majority, zero-shot, probe, self-training): `fit(material) -> Fitted`.
- `TunedMethod`: `build(material) -> Tunable`, which `tune.loop.train` drives one step at a time and turns into a
  `Fitted`. The method says which parameters, which rows and which loss; the arithmetic of a step lives in `tune/`.

Shape legend: N rows, C classes, D width of an embedding, B rows of a batch.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from fewtune.data.base import Example, Task
from fewtune.data.mixing import Mix
from fewtune.data.templates.base import PLAIN, Template

if TYPE_CHECKING:
    import torch

    from fewtune.backbones.encoder import Encoder
    from fewtune.backbones.language.model import LanguageModel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True)
class PseudoLabelled:
    """Unlabelled texts with the labels that an earlier round of a run gave them."""

    texts: Sequence[str]
    """[P]"""
    labels: IntArray
    """[P] indices into the classes."""


@dataclass(frozen=True)
class Material:
    """What one run gives a method to learn from. Nothing of a held-out row is in it."""

    texts: Sequence[str]
    """[N] labelled training texts."""
    labels: IntArray
    """[N] indices into `classes`."""
    classes: tuple[str, ...]
    """[C] class names, of the whole dataset: a class may have no row in this fold."""
    encoder: Encoder | None
    """The backbone; None for methods that read no text."""
    unlabelled: Sequence[str] = ()
    """Texts without labels that may be learned from."""
    pseudo: PseudoLabelled | None = None
    """What a second round learns from beside the labelled texts, in place of `unlabelled` (`next_round`)."""
    groups: Sequence[str] | None = None
    """[N] rows with the same group never stand on both sides of an inner split."""
    seed: int = 0
    """The only source of randomness of the run."""
    names: tuple[str, ...] = ()
    """[C] what each class is called, as a text of its own, where the template says; else the classes' own names."""
    examples: Sequence[Example] = ()
    """[N] for writing: the training rows whole, prompt and completion; `texts` are then their prompts."""
    language_model: LanguageModel | None = None
    """The backbone of methods that write, or ask what would be written."""
    template: Template = PLAIN
    """Of the same: how an example is put to the backbone."""
    mix: Mix | None = None
    """For writing: the tasks the rows are of, and what is replayed beside them; None where there is nothing to mix."""

    def subset(self, rows: IntArray) -> Material:
        """The same with these training rows only."""
        return replace(
            self,
            texts=[self.texts[row] for row in rows],
            labels=self.labels[rows],
            groups=None if self.groups is None else [self.groups[row] for row in rows],
            examples=[self.examples[row] for row in rows] if self.examples else (),
            mix=None if self.mix is None else self.mix.subset(rows),
        )


@dataclass(frozen=True)
class Written:
    """What a writer makes of rows: what their completions cost it, and what it writes itself."""

    nll: FloatArray
    """[B] negative log-likelihood in nats, summed over the completion's tokens, the end included."""
    tokens: IntArray
    """[B] how many tokens that is."""
    bytes: IntArray
    """[B] UTF-8 bytes of the completion."""
    texts: tuple[str, ...] | None = None
    """[B] what it wrote for each prompt; None where it was not asked."""
    closeness: FloatArray | None = None
    """[B] how close these come to what was given (`metrics/closeness.py`); None where that was not looked at."""

    def subset(self, rows: Sequence[int] | IntArray) -> Written:
        """Some of the rows."""
        texts = None if self.texts is None else tuple(self.texts[row] for row in rows)
        closeness = None if self.closeness is None else self.closeness[rows]
        return Written(self.nll[rows], self.tokens[rows], self.bytes[rows], texts, closeness)


@dataclass(frozen=True)
class Watched:
    """Rows whose loss is measured while training."""

    texts: Sequence[str]
    labels: IntArray
    examples: Sequence[Example] = ()
    """For writing: the rows whole."""


LONGER = 4
"""Times as many steps that a method takes where a study tries it for longer."""


@dataclass
class TrainingLog:
    """What happened while training; one entry a measured step."""

    steps: list[int] = field(default_factory=list)
    train_loss: list[float] = field(default_factory=list)
    validation_steps: list[int] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_on: str | None = None
    """`own`: rows of the run set aside, which decide; `held_out`: the fold's rows, watched only; None: not measured."""
    best_step: int | None = None
    """The step whose weights were kept; None when nothing but the step count decided."""
    reseeded: int = 0
    """How many times the run was restarted because its loss had not left chance after warm-up."""
    stopped_early: bool = False

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, losses rounded to 5 digits."""
        plain = asdict(self)
        for name in ("train_loss", "validation_loss"):
            plain[name] = [round(value, 5) for value in plain[name]]
        return plain


class Fitted(ABC):
    """What `fit` or training gives back: something that predicts, and can be saved."""

    log: TrainingLog | None = None
    notes: tuple[str, ...] = ()
    """What the method decided inside the fold (strength chosen, guard fell back, …)."""
    trainable_parameters: int = 0
    """How many numbers were learned."""

    @abstractmethod
    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """[N, C] probabilities in the order of the material's `classes`; rows sum to one."""

    @abstractmethod
    def save(self, folder: Path) -> None:
        """Write weights (safetensors) and settings (JSON) that the method's `load` reads."""


class Writer(Fitted):
    """A fitted method that writes: what it gives back where rows are prompts and completions."""

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """It knows no classes. Raises NotImplementedError."""
        raise NotImplementedError(f"{type(self).__name__} writes texts and knows no classes")

    @abstractmethod
    def costs(self, examples: Sequence[Example]) -> Written:
        """What the completions of `examples` cost; no text is written."""

    @abstractmethod
    def write(self, examples: Sequence[Example], settings: Any = None) -> list[str]:
        """What it writes for the prompt of each example; `settings` of the decoding, greedy when not given."""


@dataclass(frozen=True)
class Method(ABC):
    """How a backbone is adapted: an immutable value whose fields are its hyper-parameters."""

    name: ClassVar[str]
    """Used in recipes, on the command line and in file names."""
    title: ClassVar[str]
    """Shown to people."""
    rung: ClassVar[int]
    """Place on the ladder: lower is simpler and cheaper."""
    reads_text: ClassVar[bool] = True
    """False: needs no backbone."""
    reads_with: ClassVar[Literal["encoder", "language_model"]] = "encoder"
    """The kind of backbone that reads the text."""
    uses_unlabelled: ClassVar[bool] = False
    """True: is a candidate only when unlabelled text was given."""
    folds_in: ClassVar[bool] = True
    """Whether an adapter it saves becomes part of the backbone's weights when opened; else its `load` reads it."""
    task: ClassVar[Task] = "classification"
    """The kind of rows it is for; those for `generation` are for plain text (language modelling) too."""

    @property
    def embeds(self) -> bool:
        """Whether an encoder reads the text, as its template renders it; who asks a language model renders itself."""
        return self.reads_text and not self.asks

    @property
    def asks(self) -> bool:
        """Whether a language model is asked for the class."""
        return self.reads_with == "language_model" and self.task == "classification"

    @property
    def called(self) -> str:
        """What a person reads of this one: the title, and what tells it from others of its kind."""
        return self.title

    @classmethod
    @abstractmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Read what `Fitted.save` wrote. Raises BackboneDamaged when a file is missing or does not fit."""

    def warm(self, encoder: Encoder, texts: Sequence[str]) -> None:
        """Have the encoder compute now what every run of this method will ask it for: workers then share it."""
        encoder.embed(texts)

    def warm_to_write(self, language_model: LanguageModel, examples: Sequence[Example]) -> None:  # noqa: B027
        """`warm`, of a method that writes."""

    def suited(self, language_model: LanguageModel) -> Method:
        """Of a method that writes: with its defaults as they are meant for this model."""
        return self

    def settings(self) -> dict[str, Any]:
        """The hyper-parameters as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_settings(cls, settings: Mapping[str, Any]) -> Method:
        """The inverse of `settings`; lists become tuples."""
        return cls(**{key: tuple(value) if isinstance(value, list) else value for key, value in settings.items()})


class ClosedFormMethod(Method):
    """A method without gradient steps."""

    @abstractmethod
    def fit(self, material: Material) -> Fitted:
        """Learn from `material`."""


class Tunable(ABC):
    """A trainable thing on a backbone, made by `TunedMethod.build` for one run."""

    @abstractmethod
    def parameter_groups(self) -> list[dict[str, Any]]:
        """AdamW groups: `params`, `lr` (peak), `weight_decay`."""

    @abstractmethod
    def batches(self, rng: np.random.Generator) -> Iterator[IntArray]:
        """[B] indices into the training rows, one array a step; as many as there are steps."""

    @abstractmethod
    def loss(self, indices: IntArray) -> torch.Tensor:
        """Scalar training loss of one batch."""

    adds_up: bool = False
    """Whether a batch's loss is the sum of what its rows add to it, so that it can be worked on in parts."""

    def share(self, rows: IntArray, batch: IntArray) -> torch.Tensor:
        """What some rows of a batch add to its loss."""
        raise NotImplementedError

    @abstractmethod
    def evaluation_loss(self, texts: Sequence[str], labels_N: IntArray) -> float:
        """The training objective on given rows, in evaluation mode."""

    def watched_loss(self, rows: Watched) -> float:
        """`evaluation_loss` of rows that are watched."""
        return self.evaluation_loss(rows.texts, rows.labels)

    @abstractmethod
    def chance_loss(self) -> float | None:
        """The loss of knowing nothing; None when it is not defined for this objective."""

    @abstractmethod
    def state(self) -> dict[str, torch.Tensor]:
        """A copy of the trained tensors, for keeping the best checkpoint."""

    @abstractmethod
    def load_state(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what `state` gave."""

    @abstractmethod
    def train(self, mode: bool) -> None:
        """Switch dropout on or off."""

    @abstractmethod
    def finish(self) -> Fitted:
        """The fitted model, from the tensors as they stand."""

    def compute_again(self) -> bool:
        """Have layers computed again on the way back, to save memory; False where that cannot be."""
        return False

    def demand(self, rows: int, *, again: bool) -> int | None:
        """Bytes that a step on so many of its longest rows holds for the way back; None where that is not known.

        Parameters
        ----------
        again : whether layers are computed again on the way back.
        """
        return None

    def random_state(self) -> Any:
        """Where its own random streams stand, as plain values; None when torch's stream is all it draws from."""
        return None

    def load_random_state(self, state: Any) -> None:
        """Put back what `random_state` gave."""
        assert state is None, "a random state for something without one"


class Stack(ABC):
    """Room for several runs over one backbone, trained in one step. A run in it is a `Tunable` like any other."""

    slots: int
    """K: runs there is room for."""

    @abstractmethod
    def enter(self, slot: int, method: Any, material: Material) -> Tunable:
        """Begin a run in a slot, whoever was there before: weights, noise and head as if it were alone."""

    @abstractmethod
    def losses(self, batch: Mapping[int, IntArray]) -> dict[int, torch.Tensor]:
        """Slot → the scalar training loss of its run on the given training rows, all from one forward pass."""

    @abstractmethod
    def stacked_groups(self) -> list[list[torch.Tensor]]:
        """The trained tensors, [K, …] each, in the groups of a run's `parameter_groups`."""


@dataclass(frozen=True)
class TunedMethod(Method):
    """A method trained by gradient steps."""

    @abstractmethod
    def build(self, material: Material) -> Tunable:
        """The trainable thing, initial weights drawn from `material.seed`."""

    @property
    def extent(self) -> int:
        """What runs of a stack may differ in and need room for: the rank of an adapter, the length of a prompt."""
        return 0

    @property
    def before(self) -> int:
        """Places that stand before every text."""
        return 0

    def backbone(self, material: Material) -> Encoder:
        """What runs of this method share when they are trained side by side."""
        assert material.encoder is not None
        return material.encoder

    def lengths(self, material: Material) -> list[int]:
        """Tokens that each training row takes in a pass."""
        return [len(ids) + self.before for ids in self.backbone(material).tokens(material.texts)]

    def stack_key(self) -> Hashable:
        """Methods with equal keys can be trained side by side; None: only alone."""
        return None

    def stacks_on(self, encoder: Encoder) -> bool:
        """Whether each of several runs can have its own of what moves in `encoder`."""
        return True

    def stack(self, encoder: Encoder, methods: Sequence[Any], classes: int) -> Stack:
        """Room for one run of each of `methods`, which share this one's `stack_key`, on data of so many classes."""
        raise NotImplementedError(f"{self.name} runs alone")

    @abstractmethod
    def total_steps(self, material: Material) -> int:
        """How many steps `batches` will give."""

    def longer(self) -> TunedMethod | None:
        """The same with `LONGER` times the steps, which a study tries where the loss has not settled; None: it is not
        tried.
        """
        return None

    def next_round(self, fitted: Fitted, material: Material) -> PseudoLabelled | None:
        """Unlabelled texts, labelled with the help of `fitted`, to train on anew beside the labelled ones.

        None: `fitted` is the result; why there is no second round may be said in its notes.
        """
        return None

    def validation_share(self, material: Material) -> float:
        """Share of the run's rows set aside to stop early by; 0 where rows are too few to spare any."""
        return 0.0

    warmup_share: float = 0.1
    """Share of the steps over which the rate climbs linearly from 0, before falling linearly to 0."""
    clip_norm: float = 1.0
    """Largest global gradient norm; larger gradients are scaled down."""
    patience: int = 3
    """Measurements without a better validation loss before the run stops."""
