"""Verbalisers: what a class is called in words."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from fewtune.data.readers.encoding import decode, read_bytes
from fewtune.errors import ColumnError, UnreadableFile, UsageError

GivenWords = Mapping[str, str] | str | Path | Sequence[str | Path] | None
SHAPE = 'Give {"class": "its words", …} as JSON, or a CSV file with two columns, class and words.'


def spoken(name: str) -> str:
    """A class name as a person would say it: separators and camel case become spaces."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", re.sub(r"[_\-/.|:]+", " ", name))
    return " ".join(spaced.split()).lower() or name


def read_words(path: str | Path) -> dict[str, str]:
    """Class → words from a JSON object, or from the two columns of a CSV file.

    Raises
    ------
    UnreadableFile, ColumnError : the file is missing or holds something else.
    """
    path = Path(path)
    if not path.is_file():
        raise UnreadableFile("There is no such file.", file=path, remedy=SHAPE)
    text, _ = decode(read_bytes(path), path)
    if text.lstrip().startswith(("{", "[")) or path.suffix.lower() == ".json":
        return _of_json(text, path)
    from fewtune.data.readers.csv import read_csv

    table = read_csv(path)
    if len(table.columns) != 2:
        raise ColumnError(f"{len(table.columns)} columns where two should be.", file=path, remedy=SHAPE)
    names, words = table.columns.values()
    return {name.strip(): said.strip() for name, said in zip(names, words, strict=True) if name and said}


def given_words(given: GivenWords) -> dict[str, str]:
    """Class → words from whatever a person gives: a mapping, a file, `CLASS=WORDS`, or several of the last two.

    Raises
    ------
    UnreadableFile, ColumnError : as `read_words`.
    UsageError : a class or its words left empty.
    """
    if given is None or isinstance(given, Mapping):
        return {str(name): str(said) for name, said in (given or {}).items()}
    found: dict[str, str] = {}
    for one in [given] if isinstance(given, str | Path) else given:
        name, equals, said = str(one).partition("=")
        if not equals or Path(one).is_file():
            found |= read_words(one)
            continue
        if not name.strip() or not said.strip():
            raise UsageError(f"--words {str(one)!r} lacks the class or its words. Write it like refund='money back'.")
        found[name.strip()] = said.strip()
    return found


def _of_json(text: str, path: Path) -> dict[str, str]:
    try:
        plain = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnreadableFile(f"This is not JSON: {error}.", file=path, remedy=SHAPE) from error
    if not isinstance(plain, dict) or not all(isinstance(said, str) for said in plain.values()):
        raise UnreadableFile("This is no object of class and words.", file=path, remedy=SHAPE)
    return {name.strip(): said for name, said in plain.items()}


def check_words(words: Mapping[str, str], classes: Sequence[str]) -> None:
    """Raises UsageError for words of a class that is not there: they would be read by nothing."""
    unknown = [name for name in words if name not in classes]
    if unknown:
        known = ", ".join(map(repr, classes[:10])) + (", …" if len(classes) > 10 else "")
        raise UsageError(f"There are words for a class {unknown[0]!r}, but the classes are {known}.")
