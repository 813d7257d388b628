"""Models with weights that move: packed where they can be, whole and padded where not, behind one face.

Names of tensors are those of the whole model (`model.layers.0.…`), in either case, so that what is saved is read by
transformers and PEFT.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from fewtune.backbones.language.whole import with_tensors

if TYPE_CHECKING:
    from fewtune.backbones.body import Body
    from fewtune.backbones.language.encode import Encoded
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.backbones.language.trunk import Trunk
    from fewtune.backbones.language.whole import Whole


class Moving(ABC):
    """A private copy of a language model, some of whose weights move."""

    language_model: LanguageModel
    slot = 0
    """Of a body in which several runs are trained."""

    @property
    @abstractmethod
    def moving(self) -> dict[str, nn.Parameter]:
        """The trainable tensors by name."""

    @abstractmethod
    def costs(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """[B] nats, summed over the predictions of each row that count."""

    @abstractmethod
    def train(self, mode: bool) -> None:
        """Dropout on or off."""

    @abstractmethod
    def set_dropout(self, share: float | None) -> None:
        """Of hidden states and attention weights; None: the backbone's own."""

    @property
    @abstractmethod
    def embedding(self) -> nn.Module:
        """The layer of word embeddings."""

    def groups(self, rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """AdamW groups."""
        return [{"params": list(self.moving.values()), "lr": rate, "weight_decay": weight_decay}]

    @property
    def size(self) -> int:
        """How many numbers move."""
        return sum(tensor.numel() for tensor in self.moving.values())

    def trained(self) -> dict[str, torch.Tensor]:
        """Copies of what moves."""
        return {name: tensor.detach().clone() for name, tensor in self.moving.items()}

    @torch.no_grad()
    def load_trained(self, state: dict[str, torch.Tensor]) -> None:
        """Put back what `trained` gave."""
        own = self.moving
        for name, tensor in state.items():
            own[name].copy_(tensor)

    def share_out(self) -> None:  # noqa: B027
        """Split the weights among a team's processes, where there is one; to be called when all that moves stands."""

    def merged(self) -> Any:
        """A plain model with the trained weights in place; what does not move is shared."""
        return with_tensors(self.language_model.model, self.trained())

    def save(self, folder: Path) -> None:
        """The whole model, as transformers saves it."""
        self.merged().save_pretrained(folder, safe_serialization=True)

    def random_state(self) -> Any:
        """Where its own random stream stands; None where torch's is all it draws from."""
        return None

    def load_random_state(self, state: Any) -> None:
        """Put back what `random_state` gave."""
        assert state is None, "a random state for something without one"

    @abstractmethod
    def compute_again(self) -> bool:
        """Have layers computed again on the way back; False where that cannot be."""

    def set_embedding_noise(self, strength: float) -> None:
        """NEFTune: noise on the embeddings of rows in training, as strong as `strength` / √(tokens · width)."""
        if strength > 0:
            self.embedding.register_forward_hook(lambda layer, _, states: noisy(states, strength, layer.training))


def noisy(states: torch.Tensor, strength: float, training: bool) -> torch.Tensor:
    """`states` with uniform noise, each row's by its own length: of a pack, of each text; of padded rows, of the batch.

    Drawn from torch's stream, which belongs to the run while it is trained.
    """
    from fewtune.backbones.layout import current

    if not training:
        return states
    layout = current()
    width = states.shape[-1]
    if layout is None:
        alike: torch.Tensor = torch.empty_like(states).uniform_(-1, 1)
        return states + alike * float(strength / (states.shape[-2] * width) ** 0.5)
    lengths = [*layout.lengths.repeat(layout.lengths).tolist(), *[1] * layout.fill]
    scale_S1 = strength / (states.new_tensor(lengths) * width).sqrt().unsqueeze(-1)
    drawn: torch.Tensor = torch.empty_like(states).uniform_(-1, 1)
    return states + drawn * scale_S1


class PackedMoving(Moving):
    """A causal model's trunk as a `Body`, its head frozen above it; of a body with several runs, one of them."""

    def __init__(self, language_model: LanguageModel, body: Body, seed: int, slot: int = 0) -> None:
        self.language_model, self.body, self.slot = language_model, body, slot
        body.noise.begin(slot, seed)
        self.prefix = f"{language_model.model.base_model_prefix}."

    @property
    def moving(self) -> dict[str, nn.Parameter]:
        """By the names of the whole model; with several slots, [K, …] each."""
        return {self.prefix + name: tensor for name, tensor in self.body.moving.items()}

    @property
    def size(self) -> int:
        """Of the run."""
        return self.body.size(self.slot)

    def trained(self) -> dict[str, torch.Tensor]:
        """Of the run."""
        return {self.prefix + name: tensor for name, tensor in self.body.trained(self.slot).items()}

    def load_trained(self, state: dict[str, torch.Tensor]) -> None:
        """Of the run."""
        self.body.load_trained({name.removeprefix(self.prefix): tensor for name, tensor in state.items()}, self.slot)

    @property
    def embedding(self) -> nn.Module:
        """Of the trunk."""
        found: nn.Module = self.body.model.get_input_embeddings()
        return found

    def costs(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """From packs."""
        from fewtune.backbones.language.trunk import packed_costs

        return packed_costs(self.body, rows, [self.slot] * len(rows))

    def train(self, mode: bool) -> None:
        """Of the live layers, and of the embeddings' noise."""
        self.body.train(mode)

    def set_dropout(self, share: float | None) -> None:
        """Of the run."""
        self.body.set_dropout(share, run=self.slot)

    def random_state(self) -> Any:
        """The stream of its dropout."""
        return self.body.noise.state(self.slot)

    def load_random_state(self, state: Any) -> None:
        """Put the stream back."""
        self.body.noise.load_state(state, self.slot)

    def compute_again(self) -> bool:
        """Of the live layers."""
        return self.body.compute_again()


class WholeMoving(Moving):
    """A whole model, padded."""

    def __init__(self, language_model: LanguageModel, whole: Whole) -> None:
        self.language_model, self.whole = language_model, whole

    @property
    def moving(self) -> dict[str, nn.Parameter]:
        """By name."""
        return self.whole.moving

    @property
    def embedding(self) -> nn.Module:
        """Of what is read: a seq2seq model's encoder has a module of its own, and its shared one is never called."""
        model = self.whole.model
        part = model.get_encoder() if self.language_model.kind == "seq2seq" else model
        found: nn.Module = part.get_input_embeddings()
        return found

    def costs(self, rows: Sequence[Encoded]) -> torch.Tensor:
        """From padded batches."""
        return self.whole.costs(rows)

    def train(self, mode: bool) -> None:
        """The whole of it."""
        self.whole.train(mode)

    def share_out(self) -> None:
        """The whole model's."""
        self.whole.share_out()

    def compute_again(self) -> bool:
        """Of every layer."""
        from fewtune.backbones.checkpointing import checkpoint_layers

        return checkpoint_layers(self.whole.model)

    def set_dropout(self, share: float | None) -> None:
        """Every dropout of the model."""
        for part in self.whole.modules():
            if share is not None and isinstance(part, nn.Dropout):
                part.p = share
            for name in ("attention_dropout", "dropout_rate", "dropout"):  # the last is T5's attention
                if share is not None and isinstance(getattr(part, name, None), float):
                    setattr(part, name, share)


def opened(language_model: LanguageModel, layers: int | None, seed: int) -> Moving:
    """The model with its highest `layers` layers unfrozen; all of them where it is None. Word embeddings stay."""
    from fewtune.backbones.language.trunk import trunk_of
    from fewtune.backbones.language.whole import Whole, top_layers

    trunk = trunk_of(language_model)
    if not trunk.fits:
        return WholeMoving(language_model, Whole(language_model, top_layers(language_model.model, layers)))
    return PackedMoving(language_model, opened_trunk(trunk, layers, [seed]), seed)


def opened_trunk(trunk: Trunk, layers: int | None, seeds: Sequence[int]) -> Body:
    """A trunk with its highest `layers` layers unfrozen, once for each seed."""
    from fewtune.backbones.body import Body
    from fewtune.backbones.layers import layer_count

    depth = 0 if layers is None else max(0, layer_count(trunk.model) - layers)
    return Body(trunk, depth=depth, seeds=seeds)
