"""Answers that hold what belongs before them: the prompt itself, lines of it, marks of a template.

An answer that begins with its prompt teaches a model to repeat what it was asked. A line of the prompt inside an answer
can be right (a quotation, a text put straight), so it is only told, with its share among the rejected beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need, Row, named
from fewtune.audit.preference_rows import sides
from fewtune.audit.wording import percent, rows_said
from fewtune.data.base import Example
from fewtune.data.preference_cells import WANTED, same_answer

LEAST_WORDS = 4
LEAST_LETTERS = 20
"""Of a line, and words of a whole prompt: shorter ones stand in prompt and answer by chance."""
MARKS = re.compile(
    r"<\|(?:im_start|im_end|user|assistant|system|endoftext|eot_id|start_header_id)\|>|\[/?INST\]|<<SYS>>"
    r"|^(?:Human|User|### (?:Instruction|Input|Response)):",
    re.MULTILINE,
)
"""What templates put between turns; no answer a person wrote has them."""


class PreferenceEchoes(Check):
    """Whether chosen answers hold their prompt, lines of it, or marks of a template."""

    name: ClassVar[str] = "preference_echoes"
    title: ClassVar[str] = "Answers that repeat their prompt"
    needs: ClassVar[frozenset[Need]] = frozenset({"preferences"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Whole prompts, marks of templates, single lines; a row is named under the first that holds."""
        examples = [one for one in ground.train if ground.train.task == "preference" and _preferred(one)]
        whole, marked, echoed = [], [], []
        for one in examples:
            answer = one.completion or ""
            if _begins(one, answer):
                whole.append(one)
            elif MARKS.search(answer):
                marked.append(one)
            elif line := echo(one, answer):
                echoed.append((one, line))
        yield from self._whole(ground, [named("train", one) for one in whole])
        yield from self._marked(ground, [named("train", one, note=_mark(one)) for one in marked])
        yield from self._lines(ground, [named("train", one, note=f"repeated: {line}") for one, line in echoed])

    def _whole(self, ground: Ground, rows: list[Row]) -> Iterator[Finding]:
        if rows:
            yield Finding(
                self.name,
                "warning",
                f"The preferred answer of {rows_said(ground, rows)} begins with the whole prompt.",
                "A model that learns from them repeats what it is asked before it answers.",
                "Take the prompt out of the answers; where it stands in both of a pair, leave out the column of "
                "prompts, and what both begin with is read as the prompt.",
                tuple(rows),
                {"rows": len(rows)},
            )

    def _marked(self, ground: Ground, rows: list[Row]) -> Iterator[Finding]:
        if rows:
            yield Finding(
                self.name,
                "warning",
                f"The preferred answer of {rows_said(ground, rows)} holds marks of a chat template.",
                "They are put there by a template, not by who answered: a model learns to write the next turn itself.",
                "Cut the answers at the mark, or give the rows as messages.",
                tuple(rows),
                {"rows": len(rows)},
            )

    def _lines(self, ground: Ground, rows: list[Row]) -> Iterator[Finding]:
        if not rows:
            return
        others = [(one, text) for one in ground.train for side, text in sides(one) if _is_other(one, side)]
        beside = sum(bool(echo(one, text)) for one, text in others) / max(1, len(others))
        held = f", and so {'do' if beside != 1 else 'does'} {percent(beside)} of the other answers" if others else ""
        yield Finding(
            self.name,
            "note",
            f"The preferred answer of {rows_said(ground, rows)} repeats a line of its prompt{held}.",
            "Where the task is to quote or to mend a text this is right; else a model learns to repeat what is asked.",
            "Look at some of them, and cut what does not belong to the answer.",
            tuple(rows),
            {"rows": len(rows), "share_of_other_answers": round(beside, 4)},
        )


def echo(example: Example, answer: str) -> str:
    """The first line of an answer that is a line of what was said before it; empty where there is none."""
    said = [turn.content for turn in example.messages[:-1]] or [example.text]
    before = {plain for text in said for line in text.splitlines() if (plain := _plain(line))}
    return next((line.strip() for line in answer.splitlines() if _plain(line) in before), "") if before else ""


def _plain(line: str) -> str:
    """A line as it is compared; empty where it is too short to be told from chance."""
    plain = same_answer(line).casefold()
    return plain if len(plain) >= LEAST_LETTERS and len(plain.split()) >= LEAST_WORDS else ""


def _begins(example: Example, answer: str) -> bool:
    asked, said = same_answer(example.text), same_answer(answer)
    # "Thank you" answered by "Thank you, it was nice talking to you" repeats nothing.
    return len(asked.split()) >= LEAST_WORDS and len(said) > len(asked) and said.startswith(asked)


def _preferred(example: Example) -> bool:
    return example.rejected is not None or example.label == WANTED


def _is_other(example: Example, side: str) -> bool:
    return side == "rejected" or (side == "completion" and example.label != WANTED)


def _mark(example: Example) -> str:
    found = MARKS.search(example.completion or "")
    return f"holds {found.group().strip()!r}" if found else ""
