"""Which column holds the text, the label, the id: by the name asked for, then by known names, then by content."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from fewtune.data.readers.base import Cell, Table
from fewtune.data.words import GROUP_WORDS, ID_NAMES, LABEL_TIERS, TEXT_TIERS, WEAK, plain, tier
from fewtune.errors import ColumnError, DataError, EmptyData, TaskError


@dataclass
class Columns:
    """The columns chosen, and sentences saying why."""

    text: str
    label: str | None = None
    group: str | None = None
    id: str | None = None
    notes: list[str] = field(default_factory=list)


def choose_columns(
    table: Table, *, text: str | None, label: str | None, group: str | None, id: str | None, labelled: bool | None
) -> Columns:
    """Choose the columns of `table`. `labelled` None: a label column is looked for, and need not be there.

    A group that is called as texts or labels are is refused where no other column is: with the labels as groups no
    class would ever be learned and tested. `label` "" says that there is no label, and that such a column is a group.

    Raises
    ------
    ColumnError
        A named column is absent, or none or several could be meant.
    """
    if not table.columns:
        raise ColumnError("There are no columns.", file=table.source)
    given = _given(table, {"text": text, "label": label, "group": group, "id": id})
    free = [name for name in table.columns if name not in given.values()]
    chosen_label = given.get("label")
    denied = label == "" and labelled is None
    seeks_label = chosen_label is None and labelled is not False and not denied
    if seeks_label:
        chosen_label = _by_name(table, free, LABEL_TIERS, "label")
        chosen_label = chosen_label and _readable(table, chosen_label)
    _refuse_as_group(table, given, free, lacks_label=seeks_label and chosen_label is None)
    others = [name for name in free if name != chosen_label]
    chosen_text = given.get("text") or _text_column(table, others, bool(labelled))
    if seeks_label and chosen_label is None:
        chosen_label = _label_column(table, [name for name in free if name != chosen_text], needed=labelled is True)
    columns = Columns(chosen_text, chosen_label, given.get("group"), given.get("id") or _id_column(table, free))
    if columns.id in (columns.text, columns.label):
        columns.id = None
    _refuse_nested(table, columns)
    columns.notes = _notes(table, columns, given)
    return columns


def _given(table: Table, named: dict[str, str | None]) -> dict[str, str]:
    """The columns that are named, by their roles. Raises ColumnError where one is not there, or has two roles."""
    given = {role: asked(table, name, role) for role, name in named.items() if name}
    if "text" in given and given["text"] == given.get("label"):
        what = f"Column {given['text']!r} is named as both text and label."
        raise ColumnError(what, file=table.source, remedy=_listing(table))
    if "group" in given and given["group"] in (given.get("text"), given.get("label")):
        what = f"Column {given['group']!r} is named as the group and as text or label."
        raise ColumnError(what, file=table.source, remedy=_listing(table))
    return given


def asked(table: Table, name: str, role: str) -> str:
    """The column of this name; letter case and outer spaces are forgiven where that names one column."""
    if name in table.columns:
        return name
    same = [column for column in table.columns if column.strip().casefold() == name.strip().casefold()]
    if len(same) == 1:
        return same[0]
    near = difflib.get_close_matches(name, table.columns, n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}? " if near else ""
    raise ColumnError(f"There is no column {name!r} for the {role}.", file=table.source, remedy=hint + _listing(table))


def _listing(table: Table) -> str:
    names = list(table.columns)
    return "Columns: " + ", ".join(map(repr, names[:20])) + (", …" if len(names) > 20 else "") + "."


def _by_name(table: Table, names: Sequence[str], tiers: tuple[frozenset[str], ...], role: str) -> str | None:
    """The column whose name fits best; None if none fits; an error if several fit equally well."""
    fits = {name: place for name in names if (place := tier(name, tiers)) is not None and _has_cells(table, name)}
    if not fits:
        return None
    best = [name for name, place in fits.items() if place == min(fits.values())]
    if len(best) > 1:
        raise _ambiguous(table, best, role)
    return best[0]


def _ambiguous(table: Table, names: Sequence[str], role: str) -> ColumnError:
    what = f"Several columns could be the {role}: {', '.join(map(repr, names[:20]))}."
    return ColumnError(what, file=table.source, remedy=f"Say which with --{role} COLUMN ({role}=… in Python).")


def _has_cells(table: Table, name: str) -> bool:
    return any(cell and cell.strip() for cell in table.columns[name])


def _text_column(table: Table, names: Sequence[str], labelled: bool) -> str:
    """By name, else the one column whose cells are longest and mostly distinct."""
    named = _by_name(table, names, TEXT_TIERS, "text")
    if named is not None and tier(named, TEXT_TIERS) != WEAK + len(TEXT_TIERS) - 1:
        return named
    names = [name for name in names if _has_cells(table, name) and name not in table.nested]
    if not names:
        raise _no_text(table, labelled)
    if len(names) == 1:
        return names[0]
    lengths = {name: _mean_length(table.columns[name]) for name in names if plain(name) not in ID_NAMES}
    ranked = sorted(lengths, key=lengths.__getitem__, reverse=True)
    if not ranked or (len(ranked) > 1 and lengths[ranked[1]] > 0.6 * lengths[ranked[0]]):
        raise _ambiguous(table, ranked[:5] or names, "text")
    return ranked[0]


def _no_text(table: Table, labelled: bool) -> DataError:
    blank = [name for name in table.columns if tier(name, TEXT_TIERS) is not None and not _has_cells(table, name)]
    if blank:
        remedy = "Fill it, or name another with --text COLUMN."
        return EmptyData(f"No row has text in column {blank[0]!r}.", file=table.source, remedy=remedy)
    what = "No column holds text" + (" beside the label." if labelled else ".")
    return ColumnError(what, file=table.source, remedy=f"Say which with --text COLUMN. {_listing(table)}")


def _mean_length(cells: Sequence[Cell]) -> float:
    filled = [len(cell) for cell in cells if cell]
    return sum(filled) / max(1, len(filled))


def _label_column(table: Table, names: Sequence[str], *, needed: bool) -> str | None:
    """The one column left, else the one column with few distinct values; an error where one is needed and none is."""
    names = [name for name in names if _has_cells(table, name) and plain(name) not in ID_NAMES]
    if len(names) == 1:
        return names[0]
    few = [name for name in names if name not in table.nested and _few_values(table.columns[name])]
    if len(few) == 1:
        return few[0]
    if few:
        raise _ambiguous(table, few, "label")
    if not needed:
        return None
    what = "No column can be recognised as the label."
    if len(table.columns) == 1:
        what = (
            "There is one column only; a label column is needed beside it (cells apart by comma, tab, semicolon or |)."
        )
    raise ColumnError(what, file=table.source, remedy=f"Say which with --label COLUMN. {_listing(table)}")


def _readable(table: Table, label: str) -> str:
    """The column of names beside a column of codes, as in `label` and `label_text`, where they match one to one."""
    for name in (f"{label}_text", f"{label}_name", f"{label}_str"):
        pairs = set(zip(table.columns[label], table.columns.get(name, ()), strict=False))
        if pairs and len(pairs) == len({code for code, _ in pairs}) == len({word for _, word in pairs}):
            return name
    return label


def _few_values(cells: Sequence[Cell]) -> bool:
    filled = [cell.strip() for cell in cells if cell and cell.strip()]
    return 2 <= len(set(filled)) <= max(2, len(filled) // 3)


def _id_column(table: Table, names: Sequence[str]) -> str | None:
    found = [name for name in names if plain(name) in ID_NAMES and _has_cells(table, name)]
    return next(iter(sorted(found, key=lambda name: plain(name) != "id")), None)


def _refuse_as_group(table: Table, given: dict[str, str], free: Sequence[str], *, lacks_label: bool) -> None:
    """Raises ColumnError where the group is the column that would be the text or the label, were it not named."""
    group = given.get("group", "")
    if plain(group) in GROUP_WORDS:  # a document is a text here, and what its sentences belong to there
        return
    if "text" not in given and _is_called(group, TEXT_TIERS) and all(tier(name, TEXT_TIERS) is None for name in free):
        what = f"Column {group!r} is named as the group, and is the text by its name."
        remedy = "Name a column whose cells say which rows belong together, or the text with --text COLUMN."
        raise ColumnError(what, file=table.source, remedy=f"{remedy} {_listing(table)}")
    if lacks_label and _is_called(group, LABEL_TIERS):
        what = (
            f"Column {group!r} is named as the group, and is the label by its name. Groups are kept together, so a "
            "class would be learned or tested, never both."
        )
        remedy = "Leave --group out, or name the label with --label COLUMN."
        raise ColumnError(what, file=table.source, remedy=f"{remedy} {_listing(table)}")


def _is_called(name: str, tiers: tuple[frozenset[str], ...]) -> bool:
    """Whether the whole name is one that people give such a column and hardly any other."""
    place = tier(name, tiers)
    return place is not None and place < len(tiers) - 1


def _refuse_nested(table: Table, columns: Columns) -> None:
    if columns.text in table.nested:
        what = f"Cells of the text column {columns.text!r} are lists or objects."
        raise ColumnError(what, file=table.source, remedy=f"Say which column holds text with --text. {_listing(table)}")
    if columns.label in table.nested:
        what = f"Cells of the label column {columns.label!r} are lists or objects; one label a row is needed."
        remedy = "Choose one label a row, or make one yes/no column a label and train on each."
        raise TaskError(what, file=table.source, remedy=remedy)


def _notes(table: Table, columns: Columns, given: dict[str, str]) -> list[str]:
    roles: dict[str, Callable[[Columns], str | None]] = {
        "Text": lambda chosen: chosen.text,
        "Label": lambda chosen: chosen.label,
        "Group": lambda chosen: chosen.group,
        "Id": lambda chosen: chosen.id,
    }
    said = [f"{role} column: {name!r}." for role, pick in roles.items() if (name := pick(columns)) is not None]
    if columns.group is None and columns.label is not None:
        said += [_group_hint(name, table.columns[name]) for name in _group_candidates(table, columns)[:1]]
    return said


def _group_candidates(table: Table, columns: Columns) -> list[str]:
    """Columns named as what rows belong to together, some values repeating."""
    taken = (columns.text, columns.label, columns.id)
    found = []
    for name in table.columns:
        words = plain(name).removesuffix("_id").removesuffix("_name")
        filled = [cell for cell in table.columns[name] if cell]
        if name not in taken and words in GROUP_WORDS and 1 < len(set(filled)) < len(filled):
            found.append(name)
    return found


def _group_hint(name: str, cells: Sequence[Cell]) -> str:
    count = len({cell for cell in cells if cell})
    return (
        f"Column {name!r} has {count} values over {len(cells)} rows. If rows sharing one belong together, "
        f"give --group {name!r}, or scores will be too good."
    )
