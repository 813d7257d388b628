"""Marks in the text that give the label away: `[URGENT]`, `##billing##`, the class's own name before each text.

A word that belongs to a class by its meaning ("refund" for refunds) is what a model should learn. What tells an
artefact from it, measured on six published sets in `benchmarks/audit/artefacts.py`:

- it is no ordinary word: it holds signs that people do not write in sentences (`# [ ] { } < > | _ = ~ ^ *`), or it
  heads the text with a colon (`bug:`), or it is the name of the class standing first or last, or a word that stands
  first or last and nowhere else; and
- it is right nearly always (`PRECISE` of the rows that have it are of one class); and
- it is common: at least `COMMON` of its class have it (`NAMED` for the name of the class, which may well end a
  sentence: "activate my card"). From `COVERS` on, also asked of a word in a fixed place, a score is the mark's, not
  the model's.

A plain word that covers a class is a note. What the form of the texts tells (how they end, capitals, spaces) is
measured by one small tree on held-out rows (`chance.py`).

Legend: N rows, M marks, C classes, F features.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from fewtune.audit.base import Check, Finding, Ground, Need, named
from fewtune.audit.spelling import normalise
from fewtune.audit.telling import CERTAIN, by_tree, one_of_each, telling

PRECISE = 0.95
COMMON = 0.25
NAMED = 0.5
COVERS = 0.8
KEYWORD_COVERS = 0.9
FEWEST = 5
"""Distinct rows that a mark stands in, at least."""
FORM_TELLS = 0.65
FORM_BLOCKS = 0.9
_STRANGE = re.compile(r"[#\[\]{}<>|_=~^*§¤¶•→►■◆]")
_OUTER = ".,;!?\"'“”‘’()…"
_ADDRESS = re.compile(r"https?:|www\.|@|\w\.\w+/|^#\w+$", re.IGNORECASE)
"""Links, addresses, handles and hashtags are written by people."""


@dataclass(frozen=True)
class Mark:
    """Something in the text of rows of nearly one class."""

    said: str
    """What it is, for a person: "'[URGENT]'", "the class's name at the beginning"."""
    label: int
    rows: tuple[int, ...]
    precision: float
    coverage: float
    """Share of the class that has it."""
    strange: bool
    """No ordinary word, or an ordinary one where none is written."""


class Artefacts(Check):
    """Marks, class names and form that tell the label without the meaning."""

    name: ClassVar[str] = "artefacts"
    title: ClassVar[str] = "Marks that give the label away"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Marks by class, then plain words that cover a class, then the form."""
        rows_N = one_of_each(ground.spelled, ground.seed)
        examples = [ground.train.examples[row] for row in rows_N]
        classes, codes = np.unique([str(example.label) for example in examples], return_inverse=True)
        labels_N = codes.astype(np.int64)
        if len(classes) < 2 or len(rows_N) < 2 * FEWEST:
            return
        texts = [example.text for example in examples]
        found = marks(texts, labels_N, classes.tolist())
        strange = [mark for mark in found if mark.strange]
        if strange:
            yield self._marked(ground, strange, rows_N, classes.tolist())
        plain = [mark for mark in found if not mark.strange]
        if plain:
            yield self._keywords(plain, classes.tolist())
        ground.tick()
        yield from self._form(texts, labels_N, ground.seed)

    def _marked(
        self, ground: Ground, found: Sequence[Mark], rows_N: NDArray[np.int64], classes: Sequence[str]
    ) -> Finding:
        most = max(found, key=lambda mark: mark.coverage)
        notes = {row: mark for mark in reversed(found) for row in mark.rows}
        covered = {classes[mark.label] for mark in found}
        several = f" (and {len(found) - 1} more such marks, of {len(covered)} classes)" if len(found) > 1 else ""
        return Finding(
            self.name,
            "blocks" if most.coverage >= COVERS else "warning",
            f"{most.said} stands in {100 * most.coverage:.0f} % of the rows of {classes[most.label]!r} and in hardly "
            f"any other{several}.",
            "A model learns the mark instead of the task, and cross-validation calls that right: the score says "
            "nothing about texts that do not bear it.",
            "If new texts will not bear the mark, remove it from the training texts (`fewtune prepare`) and fit again; "
            "if they will, no model is needed for them.",
            tuple(
                named("train", ground.train.examples[rows_N[row]], note=f"{mark.said} tells {classes[mark.label]!r}")
                for row, mark in sorted(notes.items())
            ),
            {"marks": [_numbers(mark, classes) for mark in found]},
        )

    def _keywords(self, found: Sequence[Mark], classes: Sequence[str]) -> Finding:
        said = ", ".join(f"{mark.said} for {classes[mark.label]!r}" for mark in found[:5])
        return Finding(
            self.name,
            "note",
            f"One word alone tells nearly all rows of a class: {said}.",
            "That may be the nature of the class. If the texts were written or picked by that word, new ones that "
            "lack it will be missed.",
            "Ask whether people would say it in other words, and add such rows.",
            numbers={"marks": [_numbers(mark, classes) for mark in found]},
        )

    def _form(self, texts: Sequence[str], labels_N: NDArray[np.int64], seed: int) -> Iterator[Finding]:
        found = telling(by_tree(form_of(texts), labels_N, seed), labels_N)
        if found.gain < FORM_TELLS or found.p >= CERTAIN:
            return
        yield Finding(
            self.name,
            "blocks" if found.gain >= FORM_BLOCKS else "warning",
            f"The form of the texts alone (how they begin and end, capitals, spaces) tells "
            f"{100 * found.accuracy:.0f} % of the labels right ({100 * found.chance:.0f} % by always answering the "
            "commonest class).",
            "The classes were written or stored differently; a model learns that instead of the task.",
            "Bring all texts to one form (`fewtune prepare`), or ask where each class came from.",
            numbers={"accuracy": found.accuracy, "chance": found.chance, "p": found.p},
        )


def marks(texts: Sequence[str], labels_N: NDArray[np.int64], classes: Sequence[str]) -> list[Mark]:
    """Marks common in one class and hardly met in others, those that cover most of their class first."""
    from scipy.stats import hypergeom

    sizes_C = np.bincount(labels_N, minlength=len(classes))
    bearing = _bearing(texts, classes)
    found: list[Mark] = []
    taken: set[tuple[int, tuple[int, ...]]] = set()
    for (said, least), rows in bearing.items():
        if len(rows) < FEWEST:
            continue
        strange = least < KEYWORD_COVERS
        counts_C = np.bincount(labels_N[rows], minlength=len(classes))
        label = int(counts_C.argmax())
        right, coverage = int(counts_C[label]), counts_C[label] / sizes_C[label]
        if right < PRECISE * len(rows) or coverage < least:
            continue
        p = float(hypergeom.sf(right - 1, len(texts), sizes_C[label], len(rows)))
        same = (label, tuple(rows))
        if p < CERTAIN / len(bearing) and same not in taken:  # "[URGENT]" as a word and as the beginning: one mark
            taken.add(same)
            found.append(Mark(said, label, same[1], right / len(rows), float(coverage), strange))
    return sorted(found, key=lambda mark: (not mark.strange, -mark.coverage, mark.said))


def _bearing(texts: Sequence[str], classes: Sequence[str]) -> dict[tuple[str, float], list[int]]:
    """What could be a mark and the share of its class it must cover → the rows that bear it.

    The strange ones come first: where two bear the same rows, the first names them.
    """
    spelt_classes = [normalise(name) for name in classes]
    strange: dict[tuple[str, float], list[int]] = defaultdict(list)
    placed: dict[tuple[str, str], list[int]] = defaultdict(list)
    plain: dict[str, list[int]] = defaultdict(list)
    for row, text in enumerate(texts):
        words = text.split()
        lone = {word for word in words if is_strange(word)}
        if words and re.fullmatch(r"[\w-]{2,20}:", words[0]):
            lone.add(words[0])
        for word in lone:
            strange[repr(word), COMMON].append(row)
        for said in _named_class(normalise(text), spelt_classes, classes):
            strange[said, NAMED].append(row)
        bare = [found for word in words if (found := word.strip(_OUTER).casefold())]
        for word in set(bare):
            plain[word].append(row)
        if bare:
            placed[bare[0], "at the beginning"].append(row)
            placed[bare[-1], "at the end"].append(row)
    for (word, place), rows in placed.items():
        if len(rows) >= PRECISE * len(plain[word]):
            strange[f"{word!r} {place}", COVERS] = rows
    return strange | {(repr(word), KEYWORD_COVERS): rows for word, rows in plain.items()}


def _named_class(spelt: str, spelt_classes: Sequence[str], classes: Sequence[str]) -> Iterator[str]:
    for name, known in zip(classes, spelt_classes, strict=True):
        if known and spelt != known:
            if spelt.startswith(f"{known} "):
                yield f"the class's name {name!r} at the beginning"
            if spelt.endswith(f" {known}"):
                yield f"the class's name {name!r} at the end"


def is_strange(word: str) -> bool:
    """Whether people do not write it in sentences: `##x##`, `[X]`, `<tag>`, `a_b|c`; no links, handles, hashtags."""
    bare = word.strip(_OUTER)
    return bool(_STRANGE.search(bare)) and not _ADDRESS.search(bare)


def form_of(texts: Sequence[str]) -> NDArray[np.float64]:
    """[N, F] of how the texts are written down, whatever they say; not their length, in which classes do differ."""
    return np.asarray([_form_of(text) for text in texts], dtype=np.float64)


def _form_of(text: str) -> list[float]:
    bare = text.strip()
    letters = [letter for letter in bare if letter.isalpha()]
    return [
        len(text) - len(text.lstrip()),
        len(text) - len(text.rstrip()),
        "  " in bare,
        bare.count("\n"),
        bare[:1].isupper(),
        sum(letter.isupper() for letter in letters) / max(1, len(letters)),
        bare[-1:].isalnum(),
        *(bare.endswith(mark) for mark in (".", "!", "?", ";", ",", '"')),
        bare[:1] in "\"'“«",
        not bare.isascii(),
    ]


def _numbers(mark: Mark, classes: Sequence[str]) -> dict[str, str | float | int]:
    return {
        "mark": mark.said,
        "label": classes[mark.label],
        "rows": len(mark.rows),
        "precision": round(mark.precision, 4),
        "coverage": round(mark.coverage, 4),
    }
