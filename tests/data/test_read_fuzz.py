"""Whatever is in the file, `read` gives a dataset or advice: never another exception."""

import contextlib
import csv
import io
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fewtune.data import Dataset, read
from fewtune.errors import FewtuneError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["text", "label", "data", "columns", "id", "x"]), inner, max_size=4)
    ),
    max_leaves=20,
)
CELL = st.text(st.characters(), max_size=12) | st.sampled_from(["text", "label", "", '"', "a", "b", "1.5", "\x00"])
FUZZ = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def attempt(tmp_path, name, content, labelled):
    path = tmp_path / name
    path.write_bytes(content)
    with contextlib.suppress(FewtuneError):
        dataset = read(path, labelled=labelled)
        assert isinstance(dataset, Dataset)
        assert all(text.strip() and text.encode() for text in dataset.texts)
        assert len({example.id for example in dataset}) == len(dataset)


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.jsonl", "a.txt", "a.parquet", "a.xlsx", "a"])
@FUZZ
@given(content=st.binary(max_size=300), labelled=st.booleans())
def test_random_bytes(tmp_path, name, content, labelled):
    attempt(tmp_path, name, content, labelled)


@FUZZ
@given(
    rows=st.lists(st.lists(CELL, max_size=4), max_size=8),
    mark=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-16", "cp1252", "utf-8-sig", "shift_jis"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_MINIMAL, None]),
    labelled=st.booleans(),
)
def test_ragged_tables(tmp_path, rows, mark, encoding, quoting, labelled):
    file = io.StringIO()
    if quoting is None:
        file.write("\n".join(mark.join(row) for row in rows))
    else:
        csv.writer(file, delimiter=mark, quoting=quoting).writerows(rows)
    attempt(tmp_path, "a.csv", file.getvalue().encode(encoding, errors="replace"), labelled)


@FUZZ
@given(value=JSON, lines=st.lists(JSON, max_size=5), whole=st.booleans(), labelled=st.booleans())
def test_random_json(tmp_path, value, lines, whole, labelled):
    content = json.dumps(value) if whole else "\n".join(map(json.dumps, lines))
    attempt(tmp_path, "a.json", content.encode(), labelled)


@FUZZ
@given(columns=st.dictionaries(st.sampled_from(["text", "label", "x", "id"]), st.lists(JSON, min_size=3, max_size=3)))
def test_random_memory(columns):
    for source in (columns, [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]):
        with contextlib.suppress(FewtuneError):
            assert isinstance(read(source), Dataset)
