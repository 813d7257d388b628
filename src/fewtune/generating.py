"""Answers from a model that writes, from end to end and without a screen: `fewtune generate` and `fewtune chat`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fewtune.data.base import Example, Message
from fewtune.errors import BackboneMissing, UsageError, kind_of

if TYPE_CHECKING:
    from fewtune.backbones.decoding.settings import Decoding
    from fewtune.backbones.decoding.write import Written
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.data.templates import Template

Prompts = str | Example | Sequence[str | Example]


@dataclass(frozen=True)
class Chosen:
    """One of given answers."""

    text: str
    """The likeliest."""
    probabilities: dict[str, float]
    """Of every choice; they add up to 1."""


@dataclass(frozen=True)
class Opened:
    """A model ready to answer."""

    model: LanguageModel
    template: Template
    """How a prompt is laid out, unless another is asked for."""
    asked: Callable[[Sequence[Example]], list[Example]] = list
    """The prompts as the fitted method puts them: few-shot prompting puts rows before them."""
    max_new_tokens: int | None = None
    """What the fit found to be long enough for its answers."""

    def settings(self, given: Decoding | None) -> Decoding:
        """Those given, else greedy ones of the fit's length."""
        from fewtune.backbones.decoding.settings import Decoding

        usual = Decoding() if self.max_new_tokens is None else Decoding(self.max_new_tokens)
        return usual if given is None else given


def open_model(name: str | Path) -> Opened:
    """The model of a fit's folder, of a Hugging Face folder or of a Hub name.

    Raises
    ------
    BackboneMissing, BackboneDamaged, UnsafeWeights, UsageError : it cannot be had, or does not write.
    """
    from fewtune.backbones.language.load import load_language_model
    from fewtune.model_folder import CARD

    folder = Path(name).expanduser()
    if any((place / CARD).exists() for place in (folder, folder / "model")):
        return _of_fit(folder)
    try:
        model = load_language_model(name)
    except BackboneMissing as error:
        if error.__cause__ is None and not str(error).startswith("There is no folder"):
            raise
        raise BackboneMissing(
            f"There is no folder {name}, and no model of this name could be had from the Hugging Face Hub. "
            "Give the folder that `fewtune fit --out` wrote, a model folder, or a Hub name."
        ) from error
    return Opened(model, model.settle())


def _of_fit(folder: Path) -> Opened:
    from fewtune.methods.generation.base import ModelWriter
    from fewtune.model_folder import find, read_card
    from fewtune.writer_folder import load_writer

    if read_card(find(folder)).get("task", "classification") == "classification":
        raise UsageError(f"{folder} holds a model that labels texts and writes none. Give it to `fewtune predict`.")
    writer = load_writer(folder).fitted
    assert isinstance(writer, ModelWriter)
    most = None if writer.settings is None else writer.settings.max_new_tokens
    return Opened(writer.language_model, writer.template, writer.asked, most)


def generate(
    model: Opened | str | Path,
    prompts: Prompts,
    *,
    settings: Decoding | None = None,
    template: Template | None = None,
    schema: dict[str, Any] | None = None,
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Written]:
    """An answer to each prompt.

    Parameters
    ----------
    model : opened, or its folder or Hub name.
    prompts : texts, or examples (their conversation, where they are one).
    settings : how tokens are chosen; greedy when not given.
    template : how a prompt is laid out; the one the model was tuned with when not given.
    schema : a JSON schema that every answer must be of; needs `fewtune[constrain]`.
    progress : told how many more answers are done.
    say : told once if memory makes batches smaller.

    Raises
    ------
    DataError, BackboneError, UsageError, MissingExtra : with what to do.
    """
    from fewtune.backbones.decoding.grammar import Grammar
    from fewtune.backbones.decoding.write import write

    opened = _opened(model)
    laid_out, examples = template or opened.template, opened.asked(_examples(prompts))
    held = None if schema is None else Grammar.of_schema(schema, opened.model, laid_out)
    settings = opened.settings(settings)
    return write(examples, opened.model, laid_out, settings=settings, constraint=held, progress=progress, say=say)


def generate_stream(
    model: Opened | str | Path,
    prompt: str | Example,
    *,
    settings: Decoding | None = None,
    template: Template | None = None,
    schema: dict[str, Any] | None = None,
) -> Iterator[str]:
    """The answer to one prompt in pieces as they are written; joined they are what `generate` gives."""
    from fewtune.backbones.decoding.grammar import Grammar
    from fewtune.backbones.decoding.stream import stream

    opened = _opened(model)
    laid_out, examples = template or opened.template, opened.asked(_examples(prompt))
    held = None if schema is None else Grammar.of_schema(schema, opened.model, laid_out)
    return stream(examples[0], opened.model, laid_out, settings=opened.settings(settings), constraint=held)


def choose(
    model: Opened | str | Path,
    prompts: Prompts,
    choices: Sequence[str],
    *,
    template: Template | None = None,
    per_token: bool = False,
    progress: Callable[[int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Chosen]:
    """For each prompt the likeliest of given answers, and how likely each is beside the others.

    Every choice is scored whole: nothing is drawn, and a choice that begins likely and ends unlikely does not win.
    """
    from fewtune.backbones.decoding.score import probabilities, score

    opened = _opened(model)
    laid_out, examples = template or opened.template, opened.asked(_examples(prompts))
    scores_NC = score(examples, choices, opened.model, laid_out, per_token=per_token, progress=progress, say=say)
    found = []
    for probs_C in probabilities(scores_NC) if len(scores_NC) else ():
        by_name = {name: float(value) for name, value in zip(choices, probs_C, strict=True)}
        found.append(Chosen(choices[int(probs_C.argmax())], by_name))
    return found


@dataclass
class Chat:
    """A conversation that goes on: what was said is put to the model again with every question.

    What no longer fits the context is forgotten, the oldest first, the system's message never.
    """

    opened: Opened
    settings: Decoding | None = None
    template: Template | None = None
    system: str = ""
    """What the model is asked to be; empty: what its template says."""
    said: list[Message] = field(default_factory=list)

    def ask(self, text: str) -> Generator[str, None, None]:
        """The answer in pieces. What was given when the listener left stays said; an empty answer takes it all back."""
        from fewtune.backbones.decoding.stream import stream

        settings = self.opened.settings(self.settings)
        # Another draw for each question, and the same ones when the conversation is held again.
        settings = replace(settings, seed=settings.seed + len(self.said))
        asked = [*self.said, Message("user", text)]
        whole = [Message("system", self.system), *asked] if self.system else asked
        (example,) = self.opened.asked([Example(text, messages=tuple(whole))])
        laid_out = self.template or self.opened.template
        return self._kept(stream(example, self.opened.model, laid_out, settings=settings), asked)

    def _kept(self, pieces: Iterator[str], asked: list[Message]) -> Generator[str, None, None]:
        answer = ""
        try:
            for piece in pieces:
                answer += piece
                yield piece
        finally:
            close = getattr(pieces, "close", None)
            if close is not None:
                close()
            if answer:
                self.said = [*asked, Message("assistant", answer)]

    def reset(self) -> None:
        """Forget what was said; the system's message stays."""
        self.said = []


def _opened(model: Opened | str | Path) -> Opened:
    return open_model(model) if isinstance(model, str | Path) else model


def _examples(prompts: Prompts) -> list[Example]:
    given = [prompts] if isinstance(prompts, str | Example) else list(prompts)
    for place, prompt in enumerate(given, 1):
        if not isinstance(prompt, str | Example):
            raise UsageError(f"Prompt {place} is {kind_of(prompt)}. Give texts, or examples.")
    return [prompt if isinstance(prompt, Example) else Example(prompt) for prompt in given]
