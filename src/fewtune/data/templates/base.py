"""The contract of layouts, and `Template`: an immutable value that says how an example is put to a backbone.

A template never sees a label when it writes what is read to predict one.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from fewtune.data.base import Example, Message
from fewtune.data.pairs import PAIR, own_separator
from fewtune.data.templates.words import spoken
from fewtune.errors import UsageError


class Layout(ABC):
    """How messages are laid out as one string. One strategy a file; `registry.py` lists them."""

    name: ClassVar[str]
    """Used in recipes and on the command line."""
    title: ClassVar[str]
    """Shown to people."""

    @abstractmethod
    def prompt(self, messages: Sequence[Message], tokenizer: Any) -> str:
        """Everything up to where the answer begins.

        Raises
        ------
        UsageError : the layout needs something the tokenizer has not.
        """

    @abstractmethod
    def answer(self, completion: str, tokenizer: Any) -> str:
        """The answer as it follows the prompt, with what ends it, if the layout marks the end."""


@dataclass(frozen=True)
class Template:
    """How an example becomes what a backbone reads."""

    layout: str = "plain"
    """A name of `registry.NAMES`."""
    instruction: str = ""
    """What is asked of the model, in words: the system message, or the text before the text."""
    prefix: str = ""
    """Put before each text as it is, such as the `query: ` some encoders were trained with."""
    separator: str | None = None
    """Between the parts of a text of several columns; None: the backbone's own separator tokens."""
    words: tuple[tuple[str, str], ...] = ()
    """(class, its words) pairs; a class without any is called by its name, separators as spaces."""
    pattern: str = "{}"
    """Put around a class's words where they stand as a text of their own: `This is about {}.`"""

    def __post_init__(self) -> None:
        from fewtune.data.templates.registry import layout_class

        layout_class(self.layout)
        if self.pattern.count("{}") != 1:
            raise UsageError(f"The pattern {self.pattern!r} must hold {{}} once: the class's words stand there.")

    def bind(self, tokenizer: Any) -> Bound:
        """What turns a text into what the backbone of `tokenizer` reads."""
        from fewtune.data.templates.registry import layout_class

        separator = own_separator(tokenizer) if self.separator is None else self.separator
        return Bound(self, layout_class(self.layout)(), tokenizer, separator)

    def messages(self, text: str) -> list[Message]:
        """The instruction, if there is one, and the text with its prefix."""
        asked = [Message("system", self.instruction)] if self.instruction else []
        return [*asked, Message("user", self.prefix + text)]

    def turns(self, example: Example, tokenizer: Any) -> list[Message]:
        """What is said before the answer of one example: its conversation, else the instruction and its text."""
        separator = own_separator(tokenizer) if self.separator is None else self.separator
        turns = self.messages(separator.join(example.text.split(PAIR)))
        if example.messages:
            said = example.messages[:-1] if example.completion is not None else example.messages
            turns = [*(turns[:1] if self.instruction and said[:1] and said[0].role != "system" else ()), *said]
        return turns

    def said(self, example: Example) -> str | None:
        """The answer of one example: its completion, else its label in words, else none."""
        if example.completion is None and example.label is not None:
            return self.words_of((example.label,))[0]
        return example.completion

    def exchange(self, example: Example, tokenizer: Any) -> tuple[str, str]:
        """Prompt and answer of one example to learn from; the answer is empty where it has none.

        Joined they are the whole text; a loss on the answer alone starts where the prompt ends.
        """
        from fewtune.data.templates.registry import layout_class

        layout = layout_class(self.layout)()
        completion = self.said(example)
        answer = "" if completion is None else layout.answer(completion, tokenizer)
        return layout.prompt(self.turns(example, tokenizer), tokenizer), answer

    def words_of(self, classes: Sequence[str]) -> list[str]:
        """What each class is called."""
        given = dict(self.words)
        return [given.get(name) or spoken(name) for name in classes]

    def texts_of(self, classes: Sequence[str]) -> list[str]:
        """What each class is called, as a text of its own."""
        return [self.pattern.replace("{}", said) for said in self.words_of(classes)]

    def with_words(self, words: Mapping[str, str]) -> Template:
        """A copy with other words for classes."""
        return Template(
            self.layout, self.instruction, self.prefix, self.separator, tuple(sorted(words.items())), self.pattern
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {
            "layout": self.layout,
            "instruction": self.instruction,
            "prefix": self.prefix,
            "separator": self.separator,
            "words": dict(self.words),
            "pattern": self.pattern,
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Template:
        """The inverse of `to_json`; what is absent is as in the plain template. Raises UsageError."""
        unknown = set(plain) - set(PLAIN.to_json())
        words = plain.get("words") or {}
        texts = [plain.get(name) for name in ("layout", "instruction", "prefix", "separator", "pattern")]
        if (
            unknown
            or not isinstance(words, Mapping)
            or not all(text is None or isinstance(text, str) for text in (*texts, *words.values()))
        ):
            wrong = f"{min(unknown)!r} is unknown" if unknown else "a value is of another kind"
            raise UsageError(f"This is no template: {wrong}. A template has {', '.join(PLAIN.to_json())}.")
        given = {name: value for name, value in plain.items() if name != "words" and value is not None}
        return cls(**given, words=tuple(sorted((str(name), said) for name, said in words.items())))

    @property
    def hash(self) -> str:
        """SHA-256 of the JSON with sorted keys, 12 hex digits."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Bound:
    """A template and the tokenizer it writes for: a callable that pickles."""

    template: Template
    layout: Layout
    tokenizer: Any
    separator: str

    def __call__(self, text: str) -> str:
        """What the backbone reads of a text."""
        return self.layout.prompt(self.template.messages(self.separator.join(text.split(PAIR))), self.tokenizer)


PLAIN = Template()
"""The text as it is; the parts of a text of several columns joined by the backbone's own separator."""
