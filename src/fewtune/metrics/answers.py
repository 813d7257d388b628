"""What a system wrote, and what it was held against.

Two ways to see a prompt that stands in several rows. As rows: each counts, and its own completion is the one reference.
As one prompt (`by_prompt`): asked once, held against all its completions. The second is how data-to-text is scored
(each meaning representation once), keeps `goodbye()` from filling a test set, and needs fewer texts written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

from fewtune.errors import UsageError, kind_of
from fewtune.metrics.corpus import RowStatistics
from fewtune.metrics.intervals import Groups
from fewtune.metrics.overlap import rouge
from fewtune.metrics.representation import Slot, parse, slots_of

T = TypeVar("T")
References = Sequence[str] | Sequence[Sequence[str]]


@dataclass(frozen=True)
class Answers:
    """N texts a system wrote, with one or more references each."""

    outputs: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    prompts: tuple[str, ...] | None = None
    slots: tuple[tuple[Slot, ...], ...] | None = None
    """What each text should say, where that is known."""
    groups: Groups = None
    """[N] rows that share a group count as one observation; None stands alone."""

    @classmethod
    def of(
        cls,
        outputs: Sequence[str],
        references: References,
        *,
        prompts: Sequence[str] | None = None,
        slots: Sequence[object] | None = None,
        groups: Groups = None,
    ) -> Answers:
        """Check what is given and bring it into one form.

        Parameters
        ----------
        outputs : [N] what the system wrote.
        references : [N] a text or several for each.
        prompts : [N] what was asked. Where all are meaning representations, slots are read from them.
        slots : [N] cells of a user's column of slots (`representation.slots_of`).
        groups : [N] rows that belong together.

        Raises
        ------
        UsageError
            Where lengths differ, a text is no text, or a row has no reference.
        DataError
            Where a cell of `slots` cannot be read.
        """
        if isinstance(outputs, str) or isinstance(references, str):
            raise UsageError("A single text was given where a list of texts is meant. Put it into a list.")
        lists = tuple((one,) if isinstance(one, str) else tuple(one) for one in references)
        for name, values in (("references", lists), ("prompts", prompts), ("slots", slots), ("groups", groups)):
            if values is not None and len(values) != len(outputs):
                raise UsageError(f"{len(outputs)} outputs and {len(values)} {name}: give one for each row.")
        if not len(outputs):
            raise UsageError("There is no row to score. Give at least one output with its reference.")
        _check_texts(outputs, lists)
        read = [slots_of(cell, row=row + 1) for row, cell in enumerate(slots)] if slots is not None else None
        if read is None and prompts is not None:
            read = slots_in_prompts(prompts)
        return cls(
            tuple(outputs),
            lists,
            None if prompts is None else tuple(prompts),
            None if read is None else tuple(read),
            groups,
        )

    @property
    def rows(self) -> int:
        """N."""
        return len(self.outputs)

    @cached_property
    def rouge(self) -> dict[str, RowStatistics]:
        """ROUGE-1, ROUGE-2 and ROUGE-L, counted once."""
        return rouge(self.outputs, self.references)


@dataclass(frozen=True)
class Asked:
    """Each prompt once, with every completion it has."""

    rows: tuple[int, ...]
    """The first row of each prompt."""
    prompts: tuple[str, ...]
    references: tuple[tuple[str, ...], ...]
    times: tuple[int, ...]
    """Rows it stands in."""

    def taken(self, values: Sequence[T]) -> list[T]:
        """The values (groups, slots) of the rows that are kept."""
        return [values[row] for row in self.rows]


def by_prompt(prompts: Sequence[str], completions: References) -> Asked:
    """Each prompt once, in the order of its first row, with its completions; equal ones are kept once.

    Parameters
    ----------
    prompts : [N] texts, compared as they stand.
    completions : [N] a text or several for each row.
    """
    if len(prompts) != len(completions):
        raise UsageError(f"{len(prompts)} prompts and {len(completions)} completions: give one for each row.")
    first: dict[str, int] = {}
    found: dict[str, dict[str, None]] = {}
    times: dict[str, int] = {}
    for row, (prompt, given) in enumerate(zip(prompts, completions, strict=True)):
        first.setdefault(prompt, row)
        found.setdefault(prompt, {}).update(dict.fromkeys((given,) if isinstance(given, str) else given))
        times[prompt] = times.get(prompt, 0) + 1
    return Asked(tuple(first.values()), tuple(first), tuple(map(tuple, found.values())), tuple(times.values()))


def slots_in_prompts(prompts: Sequence[str]) -> list[tuple[Slot, ...]] | None:
    """The slots of prompts that are all meaning representations; None where one is not."""
    read = []
    for prompt in prompts:
        slots = parse(prompt)
        if slots is None:
            return None
        read.append(slots)
    return read


def _check_texts(outputs: Sequence[object], references: Sequence[Sequence[object]]) -> None:
    for row, (output, given) in enumerate(zip(outputs, references, strict=True)):
        if not isinstance(output, str):
            raise UsageError(f"row {row + 1}: the output is {kind_of(output)}, not a text.")
        if not given:
            raise UsageError(f"row {row + 1}: there is no reference. Leave the row out or give one.")
        if not all(isinstance(one, str) for one in given):
            bad = next(one for one in given if not isinstance(one, str))
            raise UsageError(f"row {row + 1}: a reference is {kind_of(bad)}, not a text.")


__all__ = ["Answers", "Asked", "by_prompt", "slots_in_prompts"]
