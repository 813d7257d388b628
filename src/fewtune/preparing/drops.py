"""Rows that could go: copies of an earlier row with the same label, and rows with nothing to read."""

from __future__ import annotations

from collections.abc import Iterator

from fewtune.audit.duplicates import duplicate_clusters
from fewtune.audit.spelling import normalise
from fewtune.data.clean.base import is_readable
from fewtune.data.clean.log import Change
from fewtune.data.preference_cells import same_answer
from fewtune.preparing.bench import Bench


def empty(bench: Bench) -> Iterator[Change]:
    """Rows whose text has nothing to read; of preferences, also those with an empty answer, or two equal ones."""
    for place, text in enumerate(bench.texts()):
        if place in bench.dropped:
            continue
        said = [bench.cell(column, place) for column in bench.answers]
        if not is_readable(text):
            yield bench.change(place, None, "empty", None, "nothing to read in its text")
        elif not all(map(is_readable, said)):
            yield bench.change(place, None, "empty", None, "nothing to read in an answer")
        elif len(said) == 2 and same_answer(said[0]) == same_answer(said[1]):
            yield bench.change(place, None, "empty", None, "both answers are the same: nothing is preferred")


def duplicates(bench: Bench) -> Iterator[Change]:
    """Copies and near copies of a row that stands before them under the same label; the first one stays.

    Of preferences both answers must be copies as well: a prompt may have several rows.
    """
    texts = bench.texts()
    places = [place for place, text in enumerate(texts) if place not in bench.dropped and is_readable(text)]
    label = bench.columns.label
    first: dict[tuple[tuple[int, ...], str], int] = {}
    clusters = [duplicate_clusters([bench.cell(column, one) for one in places]) for column in bench.text_columns]
    for place, cluster in zip(places, zip(*clusters, strict=True), strict=True):
        key = cluster, bench.cell(label, place).strip() if label else ""
        earlier = first.setdefault(key, place)
        if earlier != place:
            said = f"{_kind(texts[earlier], texts[place])} of row {bench.table.rows[earlier]}"
            yield bench.change(place, None, "duplicates", None, said + (", same label" if label else ""))


def _kind(one: str, other: str) -> str:
    if one == other:
        return "a copy"
    return "a copy but for case and punctuation" if normalise(one) == normalise(other) else "a near copy"
