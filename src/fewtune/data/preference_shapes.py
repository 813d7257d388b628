"""Preferences in another shape: pairs of single answers, single answers of pairs, the chosen answers alone.

What a shape cannot hold is said in sentences; an answer is never called better or worse than it was.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import prompt_key
from fewtune.data.preference_cells import UNWANTED, WANTED, rejected_of, same_answer
from fewtune.plural import counted

Shaped = tuple[Dataset, list[str]]


def as_pairs(dataset: Dataset) -> Shaped:
    """Wanted and unwanted answers to one prompt side by side; each answer stands in a pair at least once."""
    if any(example.rejected is not None for example in dataset):
        return dataset, []
    sides: dict[str, tuple[list[Example], list[Example]]] = defaultdict(lambda: ([], []))
    for example in dataset:
        sides[prompt_key(example)][example.label != WANTED].append(example)
    pairs, alone = [], 0
    for wanted, unwanted in sides.values():
        if not wanted or not unwanted:
            alone += len(wanted) + len(unwanted)
            continue
        for place in range(max(len(wanted), len(unwanted))):
            one, other = wanted[place % len(wanted)], unwanted[place % len(unwanted)]
            name = f"{one.id}/{other.id}"
            pairs.append(replace(one, label=None, rejected=other.completion, id=name))
    pairs = _made_of(pairs)
    told = []
    if alone:
        have = counted(alone, "answer has", "answers have")
        told.append(f"{have} no other to the same prompt to be held against: left out.")
    return replace(dataset, examples=tuple(pairs), label_column=None, id_column=None), told


def as_singles(dataset: Dataset) -> Shaped:
    """Each answer once, by itself. One that was chosen here and rejected there is neither wanted nor unwanted."""
    if not any(example.rejected is not None for example in dataset):
        return dataset, []
    said: dict[tuple[str, str], dict[str, Example]] = defaultdict(dict)
    for example in dataset:
        assert example.rejected is not None, "pairs and single answers in one dataset"
        both = {WANTED: example, UNWANTED: rejected_of(example)}
        for label, one in both.items():
            name = f"{example.id}/{'chosen' if label == WANTED else 'rejected'}"
            single = replace(one, label=label, rejected=None, id=name)
            said[prompt_key(example), same_answer(one.completion or "")].setdefault(label, single)
    singles = [next(iter(one.values())) for one in said.values() if len(one) == 1]
    torn = sum(len(one) > 1 for one in said.values())
    told = ["Which answer was preferred to which is no longer said, only whether each is wanted."]
    if torn:
        told.append(
            f"{counted(torn, 'answer was', 'answers were')} chosen in one pair and rejected in another: left out."
        )
    return replace(dataset, examples=tuple(_made_of(singles)), label_column="label", id_column=None), told


def as_written(dataset: Dataset) -> Shaped:
    """Prompts and the answers that were chosen or wanted, to learn to write."""
    kept = [example for example in dataset if example.rejected is not None or example.label == WANTED]
    written = [replace(example, label=None, rejected=None) for example in kept]
    lost = len(dataset) if any(example.rejected is not None for example in dataset) else len(dataset) - len(kept)
    told = [f"{counted(lost, 'answer was', 'answers were')} rejected or not wanted: left out."] if lost else []
    return replace(dataset, examples=tuple(written), task="generation", label_column=None), told


def _made_of(examples: Sequence[Example]) -> list[Example]:
    """Rows of one prompt under names of their own: two rows made of one have not both its number."""
    names: dict[str, int] = {}
    found = []
    for number, example in enumerate(examples, start=1):
        count = names[example.id] = names.get(example.id, 0) + 1
        name = example.id if count == 1 else f"{example.id}#{count}"
        found.append(replace(example, id=name, row=number))
    return found


__all__ = ["as_pairs", "as_singles", "as_written"]
