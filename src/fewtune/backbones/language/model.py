"""A model that writes, opened: causal (GPT, Llama) or seq2seq (T5), with its tokenizer and what holds for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch

from fewtune.backbones.precision import detect
from fewtune.data.templates.base import PLAIN, Template

if TYPE_CHECKING:
    from fewtune.backbones.language.encode import Encoded, Overlong, Turns
    from fewtune.backbones.team import Team
    from fewtune.data.base import Example

Kind = Literal["causal", "seq2seq"]


@dataclass(eq=False)
class LanguageModel:
    """Model and tokenizer of a kind, and what was settled when they were opened.

    Nothing in it is trainable as it is opened: a method says what moves.
    """

    model: Any
    tokenizer: Any
    kind: Kind
    name: str
    """What the person asked for."""
    fingerprint: str
    """Hash of the weights and tokenizer files; of an adapter's too, where one was opened on the base."""
    context: int
    """Most tokens of a prompt and its answer together; for seq2seq, of each."""
    folder: Path
    """Where its files lie."""
    pad_id: int
    """Fills batches; never counted."""
    start_id: int | None
    """Put first where the tokenizer puts a token first, and before an empty prompt."""
    end_id: int | None
    """Ends an answer where the layout does not; None where the model has no such token."""
    lead: tuple[int, ...] = ()
    """What the tokenizer puts before every text."""
    notes: list[str] = field(default_factory=list)
    """Sentences on what was chosen or mended, for the person."""
    template: Template | None = None
    """Of the recipe a fewtune model folder was tuned with; None for a plain model."""
    card: dict[str, Any] = field(default_factory=dict)
    """`fewtune.json` of a fewtune model folder."""
    team: Team | None = None
    """The processes that share its weights out among them; None where it is whole here."""
    padded: bool = False
    """Whether rows are always padded and never packed, as a team has them."""
    _computed: dict[int, torch.nn.Parameter] = field(default_factory=dict, repr=False)

    @property
    def device(self) -> torch.device:
        """Where it computes: where the weights are, and of a team, where this process has its share."""
        if self.team is not None:
            return self.team.device
        found: torch.device = next(iter(self.model.parameters())).device
        return found

    @property
    def dtype(self) -> torch.dtype:
        """The format of its frozen weights."""
        found: torch.dtype = next(iter(self.model.parameters())).dtype
        return found

    @property
    def parameters(self) -> int:
        """How many weights it has."""
        return sum(parameter.numel() for parameter in self.model.parameters())

    @property
    def width(self) -> int:
        """How many numbers a token's state has."""
        return int(self.model.get_input_embeddings().weight.shape[1])

    @property
    def vocabulary(self) -> int:
        """How many tokens it can write."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    def computed(self, parameter: torch.nn.Parameter) -> torch.nn.Parameter:
        """A frozen parameter in the format products run in: cast once, shared by every run."""
        if detect() != "bf16" or parameter.dtype != torch.float32 or parameter.ndim < 2:
            return parameter
        if id(parameter) not in self._computed:
            self._computed[id(parameter)] = torch.nn.Parameter(parameter.detach().bfloat16(), requires_grad=False)
        return self._computed[id(parameter)]

    def settle(self, template: Template | None = None) -> Template:
        """The template to use: the one asked for, else the recipe's, else the model's own chat, else plain.

        A model without a chat template gets another layout in its place, and a note names it.
        """
        from fewtune.backbones.language.encode import settled

        own = Template(layout="chat") if getattr(self.tokenizer, "chat_template", None) else PLAIN
        return settled(template or self.template or own, self)

    def encode(
        self, example: Example, template: Template | None = None, *, turns: Turns = "all", overlong: Overlong = "error"
    ) -> Encoded:
        """One example as token ids, with those that count for the loss marked (`language/encode.py`)."""
        from fewtune.backbones.language.encode import encode

        return encode(example, self, self.settle(template), turns=turns, overlong=overlong)

    def encode_all(
        self,
        examples: Sequence[Example],
        template: Template | None = None,
        *,
        turns: Turns = "all",
        overlong: Overlong = "error",
    ) -> list[Encoded]:
        """Every example; a plain text longer than the context becomes several, with no token lost."""
        from fewtune.backbones.language.encode import encode_all

        return encode_all(examples, self, self.settle(template), turns=turns, overlong=overlong)

    def encode_prompt(self, example: Example, template: Template | None = None, *, room: int = 0) -> Encoded:
        """What stands before the answer, cut from the left to leave `room` tokens of the context for the answer."""
        from fewtune.backbones.language.encode import encode_prompt

        return encode_prompt(example, self, self.settle(template), room=room)

    def decode(self, ids: Sequence[int]) -> str:
        """Tokens as text, special ones left out, spaces as they are."""
        words = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return str(words)
