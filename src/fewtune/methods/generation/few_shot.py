"""Few-shot: training rows most like the prompt stand before it, as many as fit; no weight moves.

Rows are chosen anew for every prompt (Liu and others 2022, "What Makes Good In-Context Examples for GPT-3?"), the most
alike last, next to the prompt. They come from the training rows of the fold and from nowhere else.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fewtune.data.base import Example, Message
from fewtune.data.templates.base import Template
from fewtune.errors import BackboneDamaged
from fewtune.methods.base import ClosedFormMethod, Fitted, Material, Writer
from fewtune.methods.generation.base import ModelWriter, WritingMethod, language_model_of, long_enough
from fewtune.methods.generation.retrieval import ShownExamples, retriever

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel

FILE = "few_shot.json"
SPARE = 1
"""Tokens an example may take more beside another neighbour."""


@dataclass(frozen=True)
class FewShotPrompt(ShownExamples, WritingMethod, ClosedFormMethod):
    """Examples before the prompt."""

    name: ClassVar[str] = "few_shot"
    title: ClassVar[str] = "Few-shot prompt (examples by likeness)"
    rung: ClassVar[int] = 2

    def warm_to_write(self, language_model: LanguageModel, examples: Sequence[Example]) -> None:
        """Open the encoder that chooses, and have it read the prompts."""
        super().warm_to_write(language_model, examples)
        retriever(self.choose, [example.prompt for example in examples])

    def fit(self, material: Material) -> Fitted:
        """Keep the training rows; nothing else is learned."""
        rows = list(material.examples)
        writer = FewShotWriter(language_model_of(material), material.template, self, rows, material.seed)
        writer.settings = long_enough(material)
        writer.notes = (f"examples chosen by {writer.retriever.name}",)
        return writer

    @classmethod
    def load_writer(cls, folder: Path, language_model: LanguageModel, template: Template) -> Writer:
        """The rows stand in a file of their own. Raises BackboneDamaged."""
        path = folder / FILE
        try:
            plain = json.loads(path.read_text(encoding="utf-8"))
            rows = [_example(row) for row in plain["rows"]]
            method = cls(int(plain["shots"]), str(plain["choose"]))
            return FewShotWriter(language_model, template, method, rows, int(plain["seed"]))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackboneDamaged(f"{path} is damaged ({type(error).__name__}). Fit again, or restore it.") from error


class FewShotWriter(ModelWriter):
    """A language model asked with examples."""

    def __init__(
        self,
        language_model: LanguageModel,
        template: Template,
        method: ShownExamples,
        rows: Sequence[Example],
        seed: int,
    ) -> None:
        super().__init__(language_model, template)
        self.method, self.rows, self.seed = method, list(rows), seed
        self.retriever = retriever(method.choose, [row.prompt for row in rows], seed=seed)
        tokens = [self._tokens(row) for row in rows]
        self.around = self._around(tokens[0]) if tokens else 0
        self.lengths = [asked + answer + self.around for asked, answer in tokens]
        # Nearly all answers are no longer than this one, and what ends it: so much is left free.
        self.room = int(np.quantile([answer for _, answer in tokens], 0.95)) + self.around if tokens else 0

    def _around(self, tokens: tuple[int, int]) -> int:
        """How many tokens the layout puts around one example: measured on the first row, put before itself."""
        row = self.rows[0]
        alone, with_one = (
            len(self.language_model.encode_prompt(one, self.template).ids)
            for one in (row, demonstrated(row, [row], self.template))
        )
        return max(0, with_one - alone - sum(tokens)) + SPARE

    def _tokens(self, row: Example) -> tuple[int, int]:
        coded = self.language_model.tokenizer([row.prompt, row.completion or ""], add_special_tokens=False)["input_ids"]
        return len(coded[0]), len(coded[1])

    def asked(self, examples: Sequence[Example]) -> list[Example]:
        """Each with the rows most like it before it."""
        shown = self.shown(examples)
        return [demonstrated(example, shots, self.template) for example, shots in zip(examples, shown, strict=True)]

    def shown(self, examples: Sequence[Example]) -> list[list[Example]]:
        """The rows that stand before each."""
        if not examples:
            return []
        ranked = self.retriever.ranked([example.prompt for example in examples])
        return [
            [self.rows[row] for row in self.chosen(example, order)]
            for example, order in zip(examples, ranked, strict=True)
        ]

    def chosen(self, example: Example, order: np.ndarray) -> list[int]:
        """Rows that fit before a prompt, the most alike last."""
        asked = self.language_model.encode_prompt(example, self.template)
        free = self.language_model.context - self.room - len(asked.ids)
        kept: list[int] = []
        for row in order.tolist():
            if len(kept) == self.method.shots or self.lengths[row] > free:
                break
            kept.append(row)
            free -= self.lengths[row]
        return kept[::-1]

    def save(self, folder: Path) -> None:
        """The rows; the model folder holds the backbone."""
        rows = [
            {
                "prompt": row.prompt,
                "completion": row.completion,
                "messages": [{"role": turn.role, "content": turn.content} for turn in row.messages],
            }
            for row in self.rows
        ]
        plain = {"shots": self.method.shots, "choose": self.method.choose, "seed": self.seed, "rows": rows}
        (folder / FILE).write_text(json.dumps(plain, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def demonstrated(example: Example, shots: Sequence[Example], template: Template) -> Example:
    """`example` with others before it: as earlier turns, or in plain text one exchange under the other."""
    if not shots:
        return example
    if template.layout == "plain" and not example.messages:
        told = "\n\n".join(f"{template.prefix}{shot.prompt}\n{shot.completion}" for shot in shots)
        # The template puts its prefix before the whole: the first example brings none of its own.
        return replace(example, text=f"{told.removeprefix(template.prefix)}\n\n{template.prefix}{example.prompt}")
    turns = list(example.messages) or [
        Message("user", template.prefix + example.prompt),
        *([] if example.completion is None else [Message("assistant", example.completion)]),
    ]
    system = [turn for turn in turns if turn.role == "system"]
    rest = [turn for turn in turns if turn.role != "system"]
    told_turns = [
        turn
        for shot in shots
        for turn in (Message("user", template.prefix + shot.prompt), Message("assistant", shot.completion or ""))
    ]
    return replace(example, messages=(*system, *told_turns, *rest))


def _example(plain: dict[str, object]) -> Example:
    turns = plain["messages"]
    assert isinstance(turns, list)
    completion = plain["completion"]
    return Example(
        str(plain["prompt"]),
        completion=None if completion is None else str(completion),
        messages=tuple(Message(str(turn["role"]), str(turn["content"])) for turn in turns),
    )
