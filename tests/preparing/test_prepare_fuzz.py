"""Whatever a file holds, it is prepared, written and brought back, or refused with advice; never a traceback."""

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.data.clean.log import read_log
from fewtune.data.clean.undo import read_written, undone
from fewtune.data.readers.base import cell_text
from fewtune.errors import FewtuneError
from fewtune.preparing import prepare
from fewtune.preparing.prepared import FORMATS

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.lists(
    st.dictionaries(st.sampled_from(["text", "label", "id", "group", "x", "\ud800", ""]), JSON, max_size=5), max_size=5
)
CELLS = st.lists(st.sampled_from(['"', ",", "\n", "\r", "\t", ";", "|", "text", "label", "a", "<b>", "é", "\x00", " "]))
FILES = st.one_of(
    st.tuples(st.sampled_from([".csv", ".json", ".jsonl", ".parquet", ".txt", ""]), st.binary(max_size=200)),
    st.tuples(st.just(".csv"), CELLS.map(lambda cells: ("text,label\n" + "".join(cells)).encode())),
    st.tuples(st.just(".json"), JSON.map(lambda value: json.dumps(value).encode())),
    st.tuples(st.just(".jsonl"), RECORDS.map(lambda rows: "\n".join(map(json.dumps, rows)).encode())),
)


@settings(deadline=None, max_examples=400)
@given(file=FILES, format=st.sampled_from(FORMATS))
def test_any_file(file, format, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    path = folder / f"rows{file[0]}"
    path.write_bytes(file[1])
    try:
        prepared = prepare(path, mask=["all"], drop=["duplicates", "empty"])
    except FewtuneError:
        return
    files = prepared.save(folder / "out", format=format)
    header, changes = read_log(folder / "out" / "changes.jsonl")
    rows = undone(read_written(folder / "out" / f"rows.{format}"), header, changes, file=files["cleaned"])
    assert len(rows) == header.rows
    column = prepared.bench.columns.text
    given = prepared.bench.table.columns
    if column in given:
        kept = [change for change in changes if change.column in (None, column)]
        touched = {change.place for change in kept}
        restored = [cell_text(row[column]) for place, row in enumerate(rows, 1) if place in touched]
        assert [text or "" for text in restored] == [given[column][place - 1] or "" for place in sorted(touched)]


@pytest.mark.parametrize("source", [[], {}, [("", "a")], [{"a": 1}], ["one"], ("x", "y"), 7])
def test_any_object(source):
    with contextlib.suppress(FewtuneError):
        prepare(source)
