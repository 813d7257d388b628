"""Cleaned file and log give back the original texts, character for character; anything else is refused."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.data.clean.log import Change, read_log
from fewtune.data.clean.undo import read_written, undone
from fewtune.errors import DataError, StoreError, UnreadableFile, UsageError
from fewtune.preparing import prepare, undo
from fewtune.preparing.decisions import Decisions
from fewtune.preparing.prepared import FORMATS

PIECES = [
    "<b>",
    "</b>",
    "&amp;",
    "Ã©",
    "\u200b",
    "\r\n",
    "\r",
    "\n",
    '"',
    ",",
    "\t",
    "  ",
    "\xa0",
    "\x00",
    "\ud83d",
    "a",
    "é",
]
PIECES += ["ann@example.org", "\u2028", "\x85", "\x1f", "=1", "'", "\ufeff", "你好", "Sent from my phone\n", "wish"]
TEXTS = st.one_of(st.text(st.characters(), max_size=30), st.lists(st.sampled_from(PIECES), max_size=8).map("".join))
ROWS = st.lists(
    st.fixed_dictionaries({"text": TEXTS, "label": st.sampled_from(["a", "b ", " c"]), "note": TEXTS}), min_size=1
)


@settings(deadline=None, max_examples=150)
@given(rows=ROWS, format=st.sampled_from(FORMATS), kept=st.integers(0, 3))
def test_undo_gives_back_every_text(rows, format, kept, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undo")
    prepared = prepare(
        rows,
        text="text",
        label="label",
        mask=["all"],
        drop=["duplicates", "empty"],
        decide=lambda change, left: ("applied", "rejected", "open", "applied")[(change.row + kept) % 4],
    )
    files = prepared.save(folder, format=format)
    header, changes = read_log(Path(files["changes"]))
    assert changes == list(prepared.changes)
    restored = undone(read_written(Path(files["cleaned"])), header, changes, file="it")
    for column in ("text", "label", "note"):
        assert [row[column] or "" for row in restored] == [row[column] for row in rows]
    # The file undo writes is whole as well, but for halves of surrogate pairs, which only JSON can hold.
    path = undo(files["cleaned"], files["changes"], folder / "back")
    whole = [row["text"] if format == "jsonl" else row["text"].encode("utf-8", "replace").decode() for row in rows]
    assert [row["text"] or "" for row in read_written(path)] == whole


def cleaned(tmp_path):
    rows = [("one  two", "a"), ("ann@example.org", "b"), ("one two", "a")]
    files = prepare(rows, mask=["all"], drop=["duplicates"]).save(tmp_path / "out")
    return Path(files["cleaned"]), Path(files["changes"])


def test_a_file_that_was_changed_since_is_refused(tmp_path):
    file, log = cleaned(tmp_path)
    text = file.read_text()
    file.write_text(text.replace("[EMAIL]", "somebody"))
    with pytest.raises(DataError, match=r"row 2: Column 'text' does not hold what was written"):
        undo(file, log, tmp_path / "back")
    file.write_text(text + "more,a\n")
    with pytest.raises(DataError, match="3 rows where the log speaks of 2"):
        undo(file, log, tmp_path / "back")
    file.write_text(text + '"open\n')
    with pytest.raises(UnreadableFile, match="cannot be read back"):
        undo(file, log, tmp_path / "back")


@pytest.mark.parametrize("line", ["no json", "[]", "{}", '{"row": 1}', "9" * 5000, "[" * 100_000])
def test_a_damaged_log_is_refused_with_its_line(tmp_path, line):
    file, log = cleaned(tmp_path)
    log.write_text(log.read_text() + line + "\n")
    with pytest.raises(UnreadableFile, match=r"Line \d is not of a change log"):
        undo(file, log, tmp_path / "back")
    log.write_text(line)
    with pytest.raises(UnreadableFile, match="Line 1 is not of a change log"):
        undo(file, log, tmp_path / "back")


def test_a_log_or_file_that_is_not_there(tmp_path):
    file, log = cleaned(tmp_path)
    with pytest.raises(UnreadableFile, match="cannot be read"):
        undo(file, tmp_path / "none.jsonl", tmp_path / "back")
    with pytest.raises(UnreadableFile, match="cannot be read back"):
        undo(tmp_path / "none.csv", log, tmp_path / "back")
    with pytest.raises(UnreadableFile, match="were not written by prepare"):
        undo(tmp_path / "rows.xlsx", log, tmp_path / "back")


def test_the_cleaned_file_is_not_written_over(tmp_path):
    file, log = cleaned(tmp_path)
    with pytest.raises(UsageError, match="is the cleaned file itself"):
        undo(file, log, file.parent)
    assert undo(file, log, file.parent, format="jsonl").exists()


def test_decisions_survive_a_torn_line(tmp_path):
    changes = [Change(row, row, str(row), "text", "spaces", "a ", "a", "why") for row in (1, 2)]
    with Decisions(tmp_path) as decisions:
        decisions.add(changes[0], accepted=False)
    path = tmp_path / "decisions.jsonl"
    path.write_bytes(path.read_bytes() + b'{"key": "torn')
    with Decisions(tmp_path) as decisions:
        assert decisions.known == {changes[0].key: False}
        decisions.add(changes[1], accepted=True)
    assert Decisions(tmp_path).known == {changes[0].key: False, changes[1].key: True}
    assert "a " not in json.dumps(path.read_text()), "no text of a row is in it"


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be made"):
        prepare([("one", "a")]).save(tmp_path / "file" / "out")
