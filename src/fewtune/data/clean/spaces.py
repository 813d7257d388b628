"""White space that says nothing: at the ends, in runs, in unusual kinds. Paragraphs and indents stay."""

from __future__ import annotations

import re
from typing import ClassVar

from fewtune.data.clean.base import Cleaner

OUTER = " \t\n\u3000"
_BREAK = re.compile("\r\n|[\r\x0b\x0c\x85\u2028]")
_UNUSUAL = re.compile("[\xa0\u1680\u2000-\u200a\u205f]|(?<![\u1800-\u18af])\u202f")
"""Not the ideographic space, which Chinese and Japanese text is set with, nor the narrow one in Mongolian words."""
_RUN = re.compile(r"[ \t]{2,}|\t")
_BLANK = re.compile(r"\n{3,}")


class Spaces(Cleaner):
    """White space."""

    name: ClassVar[str] = "spaces"
    title: ClassVar[str] = "white space"

    def step(self, text: str) -> tuple[str, list[str]]:
        """Line ends, then kinds of space, then runs, then the outside."""
        if text.isprintable() and "  " not in text and text == text.strip(" "):
            return text, []  # most texts, told at once
        broken = _BREAK.sub("\n", text).replace("\u2029", "\n\n")
        usual = _UNUSUAL.sub(" ", broken)
        single = _BLANK.sub("\n\n", "\n".join(map(_line, usual.split("\n"))))
        bare = single.strip(OUTER)
        done = {
            "line ends made one kind": broken != text,
            "unusual spaces made plain": usual != broken,
            "runs of white space shortened": single != usual,
            "outer white space removed": bare != single,
        }
        return bare, [said for said, true in done.items() if true]


def _line(line: str) -> str:
    """Nothing at its end, single spaces inside; an indented line is laid out on purpose, and stays so."""
    bare = line.rstrip(" \t")
    return bare if bare[:1] in (" ", "\t") else _RUN.sub(" ", bare)
