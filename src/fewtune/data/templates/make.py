"""A template from what a person says: a file, the name of a layout, a prefix, words for classes."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from fewtune.data.templates.base import PLAIN, Template
from fewtune.data.templates.registry import NAMES
from fewtune.data.templates.words import GivenWords, given_words
from fewtune.errors import UnreadableFile, UsageError


def template_of(
    given: str | Path | Template | None = None, *, prefix: str | None = None, words: GivenWords = None
) -> Template:
    """The plain template, changed as asked.

    Parameters
    ----------
    given : a template, the name of a layout, or a JSON file as `Template.to_json` has it.
    prefix : put before each text.
    words : what classes are called, as `given_words` takes it.

    Raises
    ------
    UsageError, DataError : neither a layout nor a file, or a file of something else.
    """
    made = given if isinstance(given, Template) else PLAIN if given is None else _named(str(given))
    if prefix is not None:
        made = replace(made, prefix=prefix)
    found = given_words(words)
    return made.with_words({**dict(made.words), **found}) if found else made


def _named(given: str) -> Template:
    if given in NAMES:
        return Template(layout=given)
    path = Path(given)
    if not path.is_file():
        raise UsageError(f"--template {given!r} is neither a file nor a layout. Layouts: {', '.join(NAMES)}.")
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UnreadableFile(f"This is no JSON ({str(error)[:100]}).", file=path, remedy="Write it again.") from error
    if not isinstance(plain, dict):
        raise UnreadableFile("This is no template: an object is needed.", file=path, remedy="Write it again.")
    return Template.from_json(plain)
