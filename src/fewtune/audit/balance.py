"""How many rows each class has, and what that does to a score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need, Row, Value, named

RARE = 5
"""Independent rows (a group counts once) below which some of five folds hold none of the class."""
UNEVEN = 10.0
"""Ratio of the largest class to the smallest from which accuracy hides the small ones."""
MOSTLY = 0.8
"""Share of the largest class from which accuracy is high whatever is learnt."""
SHOWN = 3
NAMED = 12


class Balance(Check):
    """Class sizes: classes too rare to be tested, and accuracy that one large class decides."""

    name: ClassVar[str] = "balance"
    title: ClassVar[str] = "Class sizes"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """First rare classes, then one finding about how uneven the rest is."""
        sizes = ground.train.class_sizes
        if len(sizes) < 2:
            return
        largest, smallest = max(sizes, key=sizes.__getitem__), min(sizes, key=sizes.__getitem__)
        share, ratio = sizes[largest] / len(ground.train), sizes[largest] / sizes[smallest]
        numbers: dict[str, Value] = {"sizes": sizes, "largest_share": round(share, 4), "ratio": round(ratio, 2)}
        rare = {name: count for name, count in independent(ground).items() if count < RARE}
        if rare:
            listed = ", ".join(f"{name!r} ({count})" for name, count in list(rare.items())[:NAMED])
            yield Finding(
                self.name,
                "warning",
                f"{_classes(len(rare))} fewer than {RARE} independent rows: "
                + listed
                + (", …" if len(rare) > NAMED else "")
                + ".",
                "With five folds some hold no row of such a class, and what is measured for it is chance: one right "
                "answer more or less moves it by 20 points or more.",
                "Add rows of these classes, or merge them with a neighbour. Copies and rows of one group count once.",
                _rows(ground, rare),
                {**numbers, "rare": rare},
            )
        if share >= MOSTLY or ratio >= UNEVEN:
            yield Finding(
                self.name,
                "warning" if share >= MOSTLY else "note",
                f"{largest!r} has {sizes[largest]} of {len(ground.train)} rows ({share:.0%}), {smallest!r} has "
                f"{sizes[smallest]}.",
                f"Always answering {largest!r} is right in {share:.0%} of the rows, so accuracy says little about the "
                "small classes.",
                "Judge by macro F1 and by each class's own line in the report, and label more rows of the small "
                "classes first.",
                numbers=numbers,
            )


def independent(ground: Ground) -> dict[str, int]:
    """How many groups each class is found in, the rarest first: copies and rows of one group count once."""
    found: dict[str, set[int]] = {name: set() for name in ground.train.classes}
    for example, group in zip(ground.train.examples, ground.groups, strict=True):
        if example.label is not None:
            found[example.label].add(group)
    return dict(sorted(((name, len(groups)) for name, groups in found.items()), key=lambda pair: pair[1]))


def _classes(count: int) -> str:
    return "1 class has" if count == 1 else f"{count} classes have"


def _rows(ground: Ground, rare: dict[str, int]) -> tuple[Row, ...]:
    members: dict[str, list[Row]] = {name: [] for name in rare}
    for example in ground.train:
        if example.label in members:
            members[example.label].append(named("train", example, note=f"one of few {example.label!r}"))
    return tuple(row for rows in members.values() for row in rows)
