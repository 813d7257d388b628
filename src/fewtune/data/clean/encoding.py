"""Text whose bytes were once read with the wrong encoding: `schÃ¶n` for `schön`. Told and undone by ftfy."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, ClassVar

from fewtune.data.clean.base import Cleaner

if TYPE_CHECKING:
    from ftfy import TextFixerConfig


class Encoding(Cleaner):
    """Mojibake, halves of surrogate pairs, and control characters that were Windows-1252 letters."""

    name: ClassVar[str] = "encoding"
    title: ClassVar[str] = "wrongly read encodings"

    def step(self, text: str) -> tuple[str, list[str]]:
        """Line by line: in a quoted mail only some lines may be broken."""
        if text.isascii():
            return text, []
        from ftfy import fix_and_explain

        lines, reasons = [], dict[str, None]()
        for line in text.split("\n"):
            fixed = fix_and_explain(line, _config())
            lines.append(fixed.text)
            reasons |= dict.fromkeys(_said([(str(s.action), str(s.parameter)) for s in fixed.explanation or ()]))
        return "\n".join(lines), list(reasons)


@cache
def _config() -> TextFixerConfig:
    """Encodings only: quotes, ligatures, widths and line ends are the writer's own."""
    from ftfy import TextFixerConfig

    return TextFixerConfig(
        unescape_html=False,
        remove_terminal_escapes=False,
        fix_latin_ligatures=False,
        fix_character_width=False,
        uncurl_quotes=False,
        fix_line_breaks=False,
        remove_control_chars=False,
        normalization=None,
    )


def _said(steps: list[tuple[str, str]]) -> list[str]:
    """Ftfy's steps in words."""
    said = []
    encoded = ""
    for action, parameter in steps:
        if action == "encode":
            encoded = parameter
        elif action == "decode" and encoded:
            said.append(f"{_called(parameter)} that was read as {_called(encoded)}")
        elif parameter == "fix_surrogates":
            said.append("halves of surrogate pairs joined or replaced")
        elif parameter == "fix_c1_controls":
            said.append("control characters that stand for Windows-1252 letters")
        elif parameter == "decode_inconsistent_utf8":
            said.append("pieces of UTF-8 that were read as another encoding")
    return said


def _called(encoding: str) -> str:
    name = encoding.removeprefix("sloppy-").replace("utf-8-variants", "utf-8")
    return {"utf-8": "UTF-8", "macroman": "MacRoman"}.get(name, name.capitalize())
