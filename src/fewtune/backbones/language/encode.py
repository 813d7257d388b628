"""One row as the token ids a language model reads, with the tokens that count for the loss marked.

What counts: of prompt and completion, the completion and what ends it; of a conversation, every answer and what ends
it (or the last only); of plain text, everything. What stands before is read and never counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from fewtune.backbones.language.control import guarded, shown
from fewtune.backbones.language.marked import ASSISTANT, Marked, Turns, ending, marked
from fewtune.backbones.language.pieces import chars_of_first, plain_ids, tokenised, with_ends
from fewtune.data.base import Example, Message
from fewtune.data.templates import Template, layout_class
from fewtune.errors import DataError, UsageError

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel

Overlong = Literal["error", "cut"]
"""What happens to an answer that does not fit the context: an error that names the row, or its end is cut off."""
IdsOf = Callable[[Sequence[Message]], list[int]]
LONGEST_CHARACTERS_PER_TOKEN = 64
__all__ = ["Encoded", "Overlong", "Turns", "encode", "encode_all", "encode_prompt", "settled"]


@dataclass(frozen=True)
class Encoded:
    """A row as token ids."""

    ids: tuple[int, ...]
    """Causal: the whole text. Seq2seq: what the encoder reads."""
    counted: tuple[bool, ...]
    """One for each of `ids`: whether the loss counts its prediction. Seq2seq: none, as every target counts."""
    target: tuple[int, ...] = ()
    """Seq2seq: what the decoder is to write, its end included."""
    bytes: int = 0
    """Of the counted text in UTF-8, marks of layouts aside: losses in bits per byte compare across tokenizers."""
    row: int = 0
    """1-based number of the data row."""
    cut: int = 0
    """Tokens cut from the left of the prompt."""
    lost: int = 0
    """Tokens cut from the end of the answer."""
    all_turns: bool = True
    """False where earlier answers of the conversation should count and could not be found."""

    @property
    def tokens(self) -> int:
        """How many tokens are read and written in all."""
        return len(self.ids) + len(self.target)

    @property
    def counted_tokens(self) -> int:
        """How many predictions the loss counts: a first token has nothing before it to be predicted from."""
        return len(self.target) or sum(self.counted[1:])


def settled(template: Template, model: LanguageModel) -> Template:
    """The template, or a named one in its place where the model lacks the chat template it asks for."""
    if template.layout != "chat" or getattr(model.tokenizer, "chat_template", None):
        return template
    other = "chatml" if "<|im_start|>" in model.tokenizer.get_vocab() else "instruction"
    note = f"{model.name} has no chat template of its own: the layout {other!r} is used in its place."
    if note not in model.notes:
        model.notes.append(note)
    return replace(template, layout=other)


def encode_all(
    examples: Sequence[Example],
    model: LanguageModel,
    template: Template,
    *,
    turns: Turns = "all",
    overlong: Overlong = "error",
) -> list[Encoded]:
    """Every example, in order; a plain text longer than the context becomes several, with no token lost."""
    found: list[Encoded] = []
    for example in examples:
        if _answer(example, template) is None and model.kind == "causal":
            found += _windows(example, model)
        else:
            found.append(encode(example, model, template, turns=turns, overlong=overlong))
    return found


def encode(
    example: Example, model: LanguageModel, template: Template, *, turns: Turns = "all", overlong: Overlong = "error"
) -> Encoded:
    """One example.

    Raises
    ------
    DataError : an empty answer, an answer that does not fit the context, or a conversation that the chat template
        refuses, with the row and what to do.
    """
    example = guarded(example, model.tokenizer)
    answer = _answer(example, template)
    if answer is None:
        return _text(example, model, overlong)
    if not answer.strip():
        raise DataError("The completion is empty.", row=example.row or None, remedy="Fill it, or leave the row out.")
    if model.kind == "seq2seq":
        return _pair(example, answer, model, template, overlong)
    return _conversation(example, answer, model, template, turns, overlong)


def encode_prompt(example: Example, model: LanguageModel, template: Template, *, room: int = 0) -> Encoded:
    """What stands before the answer, as generation reads it.

    Raises
    ------
    DataError : the layout alone leaves no room for an answer, or refuses the conversation.
    """
    layout, example = layout_class(template.layout)(), guarded(example, model.tokenizer)

    def ids_of(said: Sequence[Message]) -> list[int]:
        text = layout.prompt(said, model.tokenizer)
        if model.kind == "seq2seq":
            return with_ends(text, model.tokenizer)
        return _opened(plain_ids(text, model.tokenizer), model, template)

    most = model.context if model.kind == "seq2seq" else model.context - room
    said, cut = _fitting(example, model, template, ids_of, most)
    ids = ids_of(said)
    if len(ids) > most:
        what = f"The template alone is {len(ids)} tokens long, and {most} of the context's {model.context} are left."
        remedy = "Take a shorter instruction, or ask for fewer new tokens."
        raise DataError(what, row=example.row or None, remedy=remedy)
    return Encoded(tuple(ids), (False,) * len(ids), row=example.row, cut=cut)


def _answer(example: Example, template: Template) -> str | None:
    """What is to be written; of a conversation, its last answer. None for plain text."""
    answer = template.said(example)
    if answer is None and example.messages:
        last = example.messages[-1]
        return last.content if last.role == ASSISTANT else ""
    return answer


def _turns(example: Example, template: Template, model: LanguageModel) -> list[Message]:
    """What is said before the answer."""
    turns = template.turns(example, model.tokenizer)
    if example.completion is None and example.messages and turns and turns[-1].role == ASSISTANT:
        return turns[:-1]
    return turns


def _opened(ids: list[int], model: LanguageModel, template: Template) -> list[int]:
    """With the tokens that come before every text; never empty. A chat template brings its own, or means none."""
    if template.layout != "chat" and ids[: len(model.lead)] != list(model.lead):
        ids = [*model.lead, *ids]
    return ids if ids or model.start_id is None else [model.start_id]


def _conversation(
    example: Example, answer: str, model: LanguageModel, template: Template, turns: Turns, overlong: Overlong
) -> Encoded:
    layout = layout_class(template.layout)()
    end = [] if ending(layout, model.tokenizer) or model.end_id is None else [model.end_id]

    def coded(said: Sequence[Message]) -> tuple[list[int], list[bool], Marked]:
        found = marked([*said, Message(ASSISTANT, answer)], template, model.tokenizer, turns)
        ids, counted = tokenised(found, model.tokenizer)
        first = counted.index(True) if True in counted else len(ids)
        prompt = _opened(ids[:first], model, template)
        before = [False] * len(prompt)
        return [*prompt, *ids[first:], *end], [*before, *counted[first:], *([True] * len(end))], found

    said, cut = _fitting(example, model, template, lambda before: coded(before)[0], model.context)
    ids, counted, found = coded(said)
    lost = max(0, len(ids) - model.context)
    if lost and (overlong == "error" or not any(counted[: model.context])):
        raise _too_long(example, sum(counted), model.context, around=len(ids) - sum(counted))
    size = _bytes(said if turns == "all" and found.all_found else (), answer, model)
    kept = slice(None, model.context)
    return Encoded(
        tuple(ids[kept]), tuple(counted[kept]), (), size, example.row, cut, lost, found.all_found or turns == "last"
    )


def _start(model: LanguageModel) -> tuple[int, ...]:
    """An empty prompt still has a token, from which the first of the answer is predicted."""
    return () if model.start_id is None else (model.start_id,)


def _bytes(said: Sequence[Message], answer: str, model: LanguageModel) -> int:
    told = [turn.content for turn in said if turn.role == ASSISTANT]
    return sum(_size(text, model) for text in (*told, answer))


def _size(text: str, model: LanguageModel) -> int:
    return len(shown(text, model.tokenizer).encode("utf-8", "replace"))


def _pair(example: Example, answer: str, model: LanguageModel, template: Template, overlong: Overlong) -> Encoded:
    """Seq2seq: the prompt is read, the bare answer written."""
    prompt = encode_prompt(example, model, template)
    target = with_ends(answer, model.tokenizer)
    if model.end_id is not None and target[-1:] != [model.end_id]:
        target.append(model.end_id)
    lost = max(0, len(target) - model.context)
    if lost and overlong == "error":
        raise _too_long(example, len(target), model.context)
    kept = tuple(target[: model.context])
    return Encoded(prompt.ids, prompt.counted, kept, _size(answer, model), example.row, prompt.cut, lost)


def _text(example: Example, model: LanguageModel, overlong: Overlong) -> Encoded:
    """Plain text: every token counts."""
    windows = _windows(example, model)
    if model.kind == "seq2seq":
        what = "The row has nothing to be written: a seq2seq model needs a completion."
        raise DataError(what, row=example.row or None, remedy="Name its column, or take a causal model for plain text.")
    if len(windows) == 1:
        return windows[0]
    if overlong == "error":
        whole = sum(sum(window.counted) for window in windows)
        raise _too_long(example, whole, model.context, what="text")
    return replace(windows[0], lost=sum(sum(window.counted) for window in windows[1:]))


def _windows(example: Example, model: LanguageModel) -> list[Encoded]:
    """The text in pieces of at most the context; each is opened as a text is, the last one ended."""
    start, example = list(model.lead or _start(model)), guarded(example, model.tokenizer)
    ids = [*plain_ids(example.text, model.tokenizer), *([] if model.end_id is None else [model.end_id])]
    size, total = max(1, model.context - len(start)), _size(example.text, model)
    found = []
    for place in range(0, max(1, len(ids)), size):
        part = ids[place : place + size]
        share = round(total * (place + len(part)) / len(ids)) - round(total * place / len(ids)) if ids else 0
        counted = (*(False for _ in start), *(True for _ in part))
        found.append(Encoded((*start, *part), counted, (), share, example.row))
    return found


def _fitting(
    example: Example, model: LanguageModel, template: Template, ids_of: IdsOf, most: int
) -> tuple[list[Message], int]:
    """The turns before the answer, cut from the left until all fits; how many tokens went.

    Of a conversation whole turns go, the oldest first, the system's never; then the text of the one that is left.
    What the layout puts around them stays.
    """
    first = _shorter_by_characters(_turns(example, template, model), model)
    try:
        whole = len(ids_of(first))
        said, length = first, whole
        while length > most:
            fewer = _without_oldest(said) or _without_words(said, length - most, model)
            if fewer is None:
                break
            said = fewer
            length = len(ids_of(said))
    except UsageError as error:
        remedy = "Mend the conversation, or take another template, such as --template chatml."
        raise DataError(str(error), row=example.row or None, remedy=remedy) from error
    return said, whole - length


def _shorter_by_characters(said: list[Message], model: LanguageModel) -> list[Message]:
    """Text no context could reach is cut first, so that a 1 MB cell costs no more than a long one."""
    most = model.context * LONGEST_CHARACTERS_PER_TOKEN
    return [Message(turn.role, turn.content[-most:]) for turn in said]


def _without_oldest(said: list[Message]) -> list[Message] | None:
    """Without the oldest question and its answers; None where one question is left."""
    asked = [place for place, turn in enumerate(said) if turn.role == "user"]
    if len(asked) < 2:
        return None
    system = [turn for turn in said[: asked[1]] if turn.role == "system"]
    return [*system, *said[asked[1] :]]


def _without_words(said: list[Message], excess: int, model: LanguageModel) -> list[Message] | None:
    """The first tokens of the question cut off; None where nothing of it is left."""
    place = max((number for number, turn in enumerate(said) if turn.role != "system"), default=None)
    if place is None or not said[place].content:
        return None
    turn = said[place]
    gone = max(1, chars_of_first(turn.content, excess, model.tokenizer))
    return [*said[:place], Message(turn.role, turn.content[gone:]), *said[place + 1 :]]


def _too_long(example: Example, tokens: int, context: int, what: str = "completion", *, around: int = 0) -> DataError:
    beside = f" beside the {around} of the template" if around else ""
    said = f"The {what} is {tokens} tokens long and does not fit the model's context of {context}{beside}."
    remedy = "Shorten it, split it, take a model with a longer context, or let its end be cut off (overlong='cut')."
    return DataError(said, row=example.row or None, remedy=remedy)
