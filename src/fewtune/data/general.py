"""Text that a tuning is not about, to see what it forgets: sixty sentences of twelve kinds, written for this, and a
person's own.
"""

from __future__ import annotations

from importlib.resources import files

from fewtune.data.base import Dataset, Example
from fewtune.data.read import read

GENERAL = "general text"
OWN = "your probe prompts"


def general_text() -> Dataset:
    """The sentences that come with fewtune; each has its kind as `fields["kind"]`."""
    examples, kind = list[Example](), ""
    for line in files("fewtune.data").joinpath("general.txt").read_text(encoding="utf-8").splitlines():
        if line.startswith("#"):
            kind = line.removeprefix("#").strip()
        elif line:
            row = len(examples) + 1
            examples.append(Example(line, id=str(row), row=row, fields={"kind": kind}))
    return Dataset(tuple(examples), task="language_modelling", source=GENERAL)


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


def _plain(source: object) -> bool:
    """Whether it is a list of texts."""
    return isinstance(source, list | tuple) and all(isinstance(one, str) for one in source)


__all__ = ["GENERAL", "OWN", "general_text", "read_general"]
