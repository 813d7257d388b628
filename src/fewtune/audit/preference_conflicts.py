"""Preferences that cannot all hold: one row prefers what another rejects, or a circle of three or more does.

Of one prompt, "chosen over rejected" is an arrow between two answers. Answers that can be reached from each other along
arrows stand in a circle (a strongly connected part of the graph); two in it contradict each other outright where there
are arrows both ways.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need, Row, named
from fewtune.data.base import Example
from fewtune.data.exchanges import prompt_key
from fewtune.data.preference_cells import WANTED, same_answer

Arrow = tuple[str, str]


class PreferenceConflicts(Check):
    """Whether preferences for one prompt contradict each other, row against row or in a circle."""

    name: ClassVar[str] = "preference_conflicts"
    title: ClassVar[str] = "Preferences that contradict each other"
    needs: ClassVar[frozenset[Need]] = frozenset({"preferences"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Outright contradictions, which `fewtune prefer` refuses; then circles, which it learns from in vain."""
        outright, circles = _found(ground.train.examples)
        if outright:
            yield Finding(
                self.name,
                "blocks",
                f"{len(outright)} training rows contradict another: one prefers the answer that the other does not.",
                "Whatever is learnt, one of the two is counted as an error: `fewtune prefer` refuses such rows.",
                "Decide which holds, and take the others out.",
                tuple(outright),
                {"rows": len(outright)},
            )
        if circles:
            yield Finding(
                self.name,
                "warning",
                f"{len(circles)} training rows prefer answers in a circle: the first over the second, and so on, and "
                "the last over the first.",
                "No ranking of the answers agrees with all of them, so a part is learnt in vain.",
                "Rank the answers of these prompts once more, and take out the rows that disagree.",
                tuple(circles),
                {"rows": len(circles)},
            )


def _found(examples: Sequence[Example]) -> tuple[list[Row], list[Row]]:
    """Rows that contradict another outright; rows in a circle, and in no outright contradiction."""
    of_prompt: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        of_prompt[prompt_key(example)].append(example)
    outright, circles = [], []
    for rows in of_prompt.values():
        if len(rows) < 2:
            continue
        arrows: dict[Arrow, Example] = {}
        for example in rows:
            arrows.setdefault(_arrow(example), example)
        part = _parts(arrows)
        for example in rows:
            arrow = _arrow(example)
            if arrow[0] == arrow[1]:
                continue
            other = arrows.get((arrow[1], arrow[0]))
            if other is not None:
                outright.append(named("train", example, note=f"against row {other.row}"))
            elif part[arrow[0]] == part[arrow[1]]:
                circles.append(named("train", example, note=f"{_short(arrow[0])} over {_short(arrow[1])}"))
    return outright, circles


def _arrow(example: Example) -> Arrow:
    """Preferred answer → the other; of a single answer, to or from its being wanted."""
    answer = same_answer(example.completion or "")
    if example.rejected is not None:
        return answer, same_answer(example.rejected)
    nobody = "\x00 unwanted"  # no answer holds NUL: it is taken out when texts are read
    return (answer, nobody) if example.label == WANTED else (nobody, answer)


def _parts(arrows: dict[Arrow, Example]) -> dict[str, int]:
    """For each answer the number of its strongly connected part."""
    import numpy as np
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    names = list(dict.fromkeys(answer for arrow in arrows for answer in arrow))
    place = {name: number for number, name in enumerate(names)}
    ends = np.array([[place[one], place[other]] for one, other in arrows], dtype=np.int64)
    shape = (len(names), len(names))
    graph = coo_matrix((np.ones(len(ends), dtype=np.int8), (ends[:, 0], ends[:, 1])), shape=shape)
    _, parts = connected_components(graph, directed=True, connection="strong")
    return dict(zip(names, parts.tolist(), strict=True))


def _short(answer: str) -> str:
    said = " ".join(answer.split())
    return f"{said[:40]}…" if len(said) > 40 else said
