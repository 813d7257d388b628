"""Text that a tuning is not about: what it forgets is seen on it, and other text of the kind is learnt again.

What comes with fewtune was written for it: sixty sentences of twelve kinds to measure by (`general.txt`), and others of
the same kinds to replay (`replay.txt`). None stands in both.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from importlib.resources import files

from fewtune.data.base import Dataset, Example
from fewtune.data.mixing import Replayed, said
from fewtune.data.read import read
from fewtune.errors import UsageError

GENERAL = "general text"
OWN = "your probe prompts"
COMES_WITH = "general"
"""The word for the text that comes with fewtune, where a file could be named."""
PIECE = 240
"""Characters of a piece of plain text that is replayed: about as much as a row is long where rows are short."""
SAME_FROM = 20
"""Characters from which a measured text found inside another is no chance."""
_ENDS = re.compile(r"(?<=[.!?])\s+|\n\s*\n")


def general_text() -> Dataset:
    """The sentences that come with fewtune to measure by; each has its kind as `fields["kind"]`."""
    return _sentences("general.txt", GENERAL)


def replay_text() -> Dataset:
    """The sentences that come with fewtune to be replayed: of the same kinds, and none of them the same."""
    return _sentences("replay.txt", COMES_WITH)


def _sentences(name: str, source: str) -> Dataset:
    examples, kind = list[Example](), ""
    for line in files("fewtune.data").joinpath(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            kind = line.removeprefix("#").strip()
        elif line:
            row = len(examples) + 1
            examples.append(Example(line, id=str(row), row=row, fields={"kind": kind}))
    return Dataset(tuple(examples), task="language_modelling", source=source)


def read_general(source: object) -> Dataset:
    """A person's own probes: prompts with completions, of which the completions are scored, or texts alone.

    Raises
    ------
    DataError : with file, row and what to do.
    """
    from fewtune.data.exchanges import check_rows

    found = read(source, labelled=None, label="") if _plain(source) else read(source, labelled=None)
    if any(example.completion is not None for example in found):
        check_rows(found)
    return found


def read_replay(source: object, *, measured: Iterable[Dataset] = ()) -> Replayed:
    """What is learnt again beside a tuning's own rows.

    Plain texts are cut into pieces of about `PIECE` characters, at ends of sentences.

    Parameters
    ----------
    source : `general` for the text that comes with fewtune, or as `read_general` has it.
    measured : what forgetting is measured on. No row that says the same, or holds one of them, is replayed.

    Raises
    ------
    DataError : with file, row and what to do.
    UsageError : nothing is left to replay.
    """
    found = replay_text() if source == COMES_WITH else read_general(source)
    known = {said(example) for dataset in measured for example in dataset}
    texts = [text for before, text in known if not before and len(text) > SAME_FROM]
    rows = [piece for example in found for piece in pieces(example)]
    kept = [one for one in rows if said(one) not in known and not any(text in said(one)[1] for text in texts)]
    if not kept:
        raise UsageError(f"{found.source} holds nothing to replay that forgetting is not measured on. Give other text.")
    return Replayed(found.source, tuple(kept))


def read_replays(sources: Sequence[object], *, own: object = None) -> tuple[Replayed, ...]:
    """Each of what is learnt again; none of it may be what forgetting is measured on: the general text, and `own`.

    Raises as `read_replay` does.
    """
    if not sources:
        return ()
    measured = [general_text(), *([] if own is None else [read_general(own)])]
    return tuple(read_replay(source, measured=measured) for source in sources)


def pieces(example: Example) -> list[Example]:
    """A row of its own for every few sentences of a plain text."""
    if example.completion is not None or len(example.text) <= PIECE:
        return [example]
    found, piece = list[str](), ""
    for sentence in _ENDS.split(example.text):
        if piece and len(piece) + len(sentence) >= PIECE:
            found, piece = [*found, piece], ""
        piece = f"{piece} {sentence}".strip()
    return [replace(example, text=text) for text in [*found, piece] if text.strip()]


def to_write(example: Example, kind: str) -> Example:
    """A row as a model of a kind is asked for it: a seq2seq model cannot be asked for a text alone, but for the second
    half of it, given the first.
    """
    if kind == "causal" or example.completion is not None:
        return example
    words: Sequence[str] = example.text.split()
    half = len(words) // 2
    return replace(example, text=" ".join(words[:half]), completion=" ".join(words[half:]))


def _plain(source: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(source, list | tuple) and all(isinstance(one, str) for one in source)


__all__ = [
    "COMES_WITH",
    "GENERAL",
    "OWN",
    "general_text",
    "pieces",
    "read_general",
    "read_replay",
    "read_replays",
    "replay_text",
    "to_write",
]
