"""Real files in, datasets or advice out."""

import gzip
import io
import os
import pickle
import zipfile

import pytest

from fewtune.data import Dataset, read
from fewtune.errors import ColumnError, DataError, EmptyData, TaskError, UnreadableFile

ROWS = [("Where is my parcel?", "late"), ("I want my money back", "refund")] * 3
TEXTS = [f"{text} {number}" for number, (text, _) in enumerate(ROWS)]
LABELS = [label for _, label in ROWS]


@pytest.fixture
def put(tmp_path):
    def put_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return put_file


def delimited(mark, header=True):
    lines = [mark.join(("text", "label"))] if header else []
    return "\n".join(lines + [f'"{text}"{mark}{label}' for text, label in zip(TEXTS, LABELS, strict=True)]) + "\n"


def said(dataset):
    return " ".join(dataset.notes)


@pytest.mark.parametrize(("mark", "name"), [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe")])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ""])
def test_delimiters(put, mark, name, suffix):
    dataset = read(put("rows" + suffix, delimited(mark)))
    assert (dataset.texts, dataset.labels) == (TEXTS, LABELS)
    assert f"Delimiter: {name}." in dataset.notes
    assert [example.row for example in dataset] == [1, 2, 3, 4, 5, 6]
    assert [example.id for example in dataset] == list("123456")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"])
def test_encodings(put, encoding):
    rows = 'text,label\n"Élève déçu, à côté",négatif\nTrès bien là-bas,positif\nÇa alors… où ça ?,négatif\n'
    dataset = read(put("rows.csv", rows.encode(encoding)))
    assert dataset.texts[0] == "Élève déçu, à côté"
    assert dataset.classes == ("négatif", "positif")


def test_cyrillic_code_page(put):
    rows = "text,label\nПочему посылка до сих пор не пришла,а\nВерните мне деньги за заказ,б\nСпасибо большое,а\n"
    assert "Верните мне деньги за заказ" in read(put("rows.csv", rows.encode("cp1251"))).texts


def test_asian_code_pages(put):
    rows = "text,label\n荷物がまだ届いていません,配送\n返金してください,返金\n"
    assert read(put("rows.csv", rows.encode("shift_jis"))).classes == ("返金", "配送")
    rows = "text,label\n我的包裹在哪里,物流\n请退款给我,退款\n"
    assert read(put("rows.csv", rows.encode("gbk"))).classes == ("物流", "退款")


def test_one_damaged_byte_in_utf8_does_not_turn_the_rest_into_another_encoding(put):
    rows = "text,label\nпривет мир,a\nещё один X текст,b\n".encode().replace(b"X", b"\xff")
    dataset = read(put("rows.csv", rows))
    assert dataset.texts == ["привет мир", "ещё один \ufffd текст"]
    assert "line 3" in said(dataset)


def test_cells_over_lines_of_any_length_and_script(put):
    cells = ["line one\nline two", "x" * 1_000_000, "😀 שלום, عالم", 'say "hi"', "a\u2028b", " spaces stay "]
    lines = ["text,label"] + [
        '"' + cell.replace('"', '""') + f'",{label}' for cell, label in zip(cells, "ababab", strict=True)
    ]
    assert read(put("rows.csv", "\n".join(lines))).texts == cells


def test_nul_characters_go_and_a_note_says_so(put):
    dataset = read(put("rows.csv", "text,label\nhel\x00lo there you,a\ngood bye to all of you,b\n"))
    assert dataset.texts[0] == "hello there you"
    assert "NUL" in said(dataset)


def test_missing_header_is_told_from_a_header(put):
    dataset = read(put("rows.csv", delimited(",", header=False)))
    assert len(dataset) == 6
    assert "No header" in said(dataset)
    assert read(put("rows.csv", delimited(",", header=False)), label="column 2").labels == LABELS


@pytest.mark.parametrize("named", [["0", "1"], ["", "0", "1"]])
def test_columns_that_pandas_numbered_are_a_header(put, named):
    rows = [line.split(",") for line in delimited(",", header=False).splitlines()]
    index = [[str(place)] if "" in named else [] for place in range(len(rows))]
    lines = [",".join(cells) for cells in [named, *(first + row for first, row in zip(index, rows, strict=True))]]
    dataset = read(put("rows.csv", "\n".join(lines) + "\n"))
    assert dataset.labels == LABELS
    assert (dataset.text_column, dataset.label_column) == ("0", "1")
    assert "No header" not in said(dataset)


def test_a_survey_has_questions_for_a_header(put):
    rows = 'Timestamp,"How satisfied are you with us, all in all?",Please tell us in your own words what went wrong\n'
    rows += "".join(f"{day},{grade},{TEXTS[day]}\n" for day, grade in enumerate(["well", "not"] * 3))
    dataset = read(put("rows.csv", rows), label="how satisfied are you with us, all in all?")
    assert len(dataset) == 6
    assert dataset.text_column.startswith("Please tell us")


def test_excel_announces_its_delimiter(put):
    assert read(put("rows.csv", "sep=;\ntext;label\na, b;x\nc d;y\n")).texts == ["a, b", "c d"]
    with pytest.raises(DataError):
        read(put("rows.csv", "sep=;\n"))


def test_names_are_preferred_to_codes(put):
    rows = "text,label,label_text\na,0,neg\nb,1,pos\n"
    assert read(put("rows.csv", rows)).classes == ("neg", "pos")
    assert read(put("rows.csv", rows), label="label").classes == ("0", "1")
    assert read(put("rows.csv", rows + "c,1,other\n")).classes == ("0", "1")


def test_one_column_is_said_to_be_one(put):
    with pytest.raises(ColumnError, match="one column only"):
        read(put("rows.csv", "text\na b\nc d\n"))


def test_ragged_row_is_named(put):
    with pytest.raises(UnreadableFile, match=r"row 2: 3 cells where the first line has 2.*double quotes"):
        read(put("rows.csv", "text,label\nfine,a\nnot, fine,b\n"))


def test_unclosed_quote_is_named(put):
    with pytest.raises(UnreadableFile, match=r"quoting"):
        read(put("rows.csv", 'text,label\n"fine,a\nb,c,d\n'))


def test_stray_quotes_in_tab_separated_tweets_are_letters(put):
    dataset = read(put("rows.tsv", 'text\tlabel\n"quoted" then more\ta\n5" screen\tb\n'))
    assert dataset.texts == ['"quoted" then more', '5" screen']


def test_empty_texts_and_labels_are_left_out_and_named(put):
    dataset = read(put("rows.csv", "text,label\nhello,a\n  ,b\nworld, b \nx,\n\ny,a\n"))
    assert dataset.texts == ["hello", "world", "y"]
    assert dataset.labels == ["a", "b", "a"]
    assert [example.row for example in dataset] == [1, 3, 6]
    assert "no text and is left out: row 2" in said(dataset)
    assert "no label and is left out: row 4" in said(dataset)


def test_mostly_unlabelled_is_said(put):
    assert "More than half" in said(read(put("rows.csv", "text,label\na,x\nb,y\nc,\nd,\ne,\n")))


def test_one_row_classes_and_spellings_are_noted():
    notes = said(read((["a", "b", "c", "d", "e"], ["x", "X", "x", "X", "rare"])))
    assert "'rare' with one row" in notes
    assert "letter case" in notes


@pytest.mark.parametrize(
    "content",
    [
        '[{"text": "a", "label": 1}, {"text": "b", "label": 2.0}]',
        '{"data": [{"text": "a", "label": 1}, {"text": "b", "label": 2}]}',
        '{"text": ["a", "b"], "label": ["1", "2"]}',
        '{"text": {"0": "a", "1": "b"}, "label": {"0": 1, "1": 2}}',
        '{"columns": ["text", "label"], "index": [0, 1], "data": [["a", 1], ["b", 2]]}',
        '[["a", 1], ["b", 2]]',
        '{"text": "a", "label": 1}\n\n{"text": "b", "label": 2}\n',
    ],
)
@pytest.mark.parametrize("name", ["rows.json", "rows.jsonl", "rows"])
def test_json_shapes(put, content, name):
    dataset = read(put(name, content))
    assert (dataset.texts, dataset.labels) == (["a", "b"], ["1", "2"])


def test_json_lines_name_the_bad_line(put):
    with pytest.raises(UnreadableFile, match="row 2: This line is not JSON"):
        read(put("rows.jsonl", '{"text": "a", "label": 1}\n{"text": "b",\n{"text": "c", "label": 2}\n'))


@pytest.mark.parametrize("content", ["{", "[1, 2", '"text"', "3", "[3]", "{}", "[" * 100_000, '{"a": [{}], "b": [{}]}'])
def test_json_that_holds_no_rows(put, content):
    with pytest.raises(DataError):
        read(put("rows.json", content))


def test_json_rows_of_differing_keys(put):
    dataset = read(put("rows.jsonl", '{"text": "a", "label": "x"}\n{"text": "b"}\n{"text": "c", "label": "y"}'))
    assert dataset.texts == ["a", "c"]
    assert "'label' is absent from 1 of 3 rows" in said(dataset)


def test_half_surrogates_in_json_are_replaced(put):
    dataset = read(put("rows.json", '[{"text": "a \\ud800 b", "label": "x"}, {"text": "b", "label": "y"}]'))
    assert dataset.texts[0] == "a \ufffd b"


def test_several_labels_a_row_is_said(put):
    with pytest.raises(TaskError, match="one label a row"):
        read(put("rows.jsonl", '{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": ["x"]}'))


def test_frames_parquet_and_excel_agree(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"text": [*TEXTS, None], "label": [1.0, 2.0, 1.0, 2.0, 1.0, 2.0, float("nan")]})
    frame.to_parquet(tmp_path / "rows.parquet")
    frame.to_excel(tmp_path / "rows.xlsx", index=False)
    for source in (
        frame,
        tmp_path / "rows.parquet",
        tmp_path / "rows.xlsx",
        frame.to_dict("records"),
        frame.to_dict("list"),
    ):
        dataset = read(source)
        assert dataset.texts == TEXTS
        assert dataset.labels == ["1", "2"] * 3
    frame["label"] = frame["label"].astype("Int64").astype("category")
    assert read(frame).labels == ["1", "2"] * 3


def test_workbook_and_parquet_under_a_wrong_name_are_read_as_what_they_are(tmp_path):
    import pandas as pd

    frame = pd.DataFrame({"text": TEXTS, "label": LABELS})
    frame.to_excel(tmp_path / "rows.xlsx", index=False)
    frame.to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "book.csv").write_bytes((tmp_path / "rows.xlsx").read_bytes())
    (tmp_path / "table.csv").write_bytes((tmp_path / "rows.parquet").read_bytes())
    assert read(tmp_path / "book.csv").labels == read(tmp_path / "table.csv").labels == LABELS


def test_workbooks_with_title_rows_other_sheets_and_error_cells(tmp_path):
    import openpyxl

    book = openpyxl.Workbook()
    book.active.append([])
    for row in [["text", "label"], ["hello", "a"], ["#N/A", "b"], ["world", "b"], ["again", "a"]]:
        book.active.append(row)
    book.create_sheet("other").append(["x"])
    book.save(tmp_path / "rows.xlsx")
    dataset = read(tmp_path / "rows.xlsx")
    assert dataset.texts == ["hello", "world", "again"]
    assert "not read: other" in said(dataset)


def test_damaged_parquet_and_workbook(put):
    for name, content in (("a.parquet", b"PAR1 not really"), ("b.xlsx", b"PK\x03\x04 xl/ not really")):
        with pytest.raises(UnreadableFile):
            read(put(name, content))


def test_datasets_and_their_class_names(tmp_path):
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["no", "yes"])})
    dataset = datasets.Dataset.from_dict({"text": list("abc"), "label": [0, 1, -1]}, features=features)
    assert read(dataset).labels == ["no", "yes"]
    dataset.to_parquet(tmp_path / "rows.parquet")
    assert read(tmp_path / "rows.parquet").labels == ["no", "yes"]
    with pytest.raises(DataError, match="several splits: train"):
        read(datasets.DatasetDict({"train": dataset}))


def test_memory_forms():
    import numpy as np

    pairs = list(zip(TEXTS, LABELS, strict=True))
    forms = [pairs, (TEXTS, LABELS), (tuple(TEXTS), np.array(LABELS)), [{"text": t, "label": n} for t, n in pairs]]
    assert {read(form).fingerprint for form in forms} == {read(pairs).fingerprint}
    assert read(read(pairs)).source == "memory"
    for wrong in (3, None, object(), [], ([], []), [1, 2], (["a"], ["b", "c"]), {"a": 1}, [("a", "b", "c")], b"text"):
        with pytest.raises(DataError):
            read(wrong)


def test_files_without_labels(put):
    assert read(put("rows.txt", "one, two\n\nthree\r\n"), labelled=False).texts == ["one, two", "three"]
    dataset = read(put("rows.csv", delimited(",")), labelled=False)
    assert (dataset.texts, dataset.label_column, dataset.examples[0].label) == (TEXTS, None, None)
    half = read(put("half.csv", "text,label\na,x\nb,\n"), labelled=False, label="label")
    assert [example.label for example in half] == ["x", None]
    assert read(["one", "two"], labelled=False).texts == ["one", "two"]
    single = read(put("one.csv", "text\nHello, you\nno comma\n"), labelled=False)
    assert single.texts == ["Hello, you", "no comma"]


def test_columns_by_name_content_and_option(put):
    rows = "id,ticket_text,priority_code,Category\n" + "".join(
        f"t{i},{TEXTS[i]},{i % 2},{LABELS[i]}\n" for i in range(6)
    )
    dataset = read(put("rows.csv", rows))
    assert (dataset.text_column, dataset.label_column) == ("ticket_text", "Category")
    assert dataset.examples[0].id == "t0"
    assert read(put("rows.csv", rows), label="priority_code").classes == ("0", "1")
    assert read(put("rows.csv", rows), label=" category").labels == LABELS
    unknown = rows.replace("ticket_text", "foo").replace("priority_code", "bar").replace("Category", "baz")
    with pytest.raises(ColumnError, match=r"Several columns could be the label: 'bar', 'baz'.*--label"):
        read(put("rows.csv", unknown))
    with pytest.raises(ColumnError, match="Did you mean 'Category'"):
        read(put("rows.csv", rows), label="Categry")
    with pytest.raises(ColumnError, match="both text and label"):
        read(put("rows.csv", rows), text="Category", label="Category")


def test_several_text_columns_are_asked_about(put):
    with pytest.raises(ColumnError, match="Several columns could be the text: 'body', 'comment'"):
        read(put("rows.csv", "body,comment,label\na b,c d,x\ne f,g h,y\n"))


def test_groups_are_read_and_hinted_at(put):
    rows = "text,label,patient_id\n" + "".join(f"{TEXTS[i]},{LABELS[i]},p{i % 3}\n" for i in range(6))
    assert "--group 'patient_id'" in said(read(put("rows.csv", rows)))
    dataset = read(put("rows.csv", rows), group="patient_id")
    assert [example.group for example in dataset] == ["p0", "p1", "p2"] * 2
    assert "--group" not in said(dataset)


def test_repeated_ids_are_made_unique(put):
    dataset = read(put("rows.csv", "id,text,label\na,one,x\na,two,y\na#2,three,x\n,four,y\n"))
    assert [example.id for example in dataset] == ["a", "a#2", "a#2#2", "4"]
    assert "2 repeated ids" in said(dataset)


@pytest.mark.parametrize(
    ("labels", "match"),
    [
        ([f"{number * 0.37:.2f}" for number in range(60)], "regression"),
        ([str(number * number) for number in range(60)], "regression"),
        ([f"name {number}" for number in range(60)], "60 distinct labels in 60 rows"),
        (["same"] * 60, "one label 'same'"),
        ([f"A whole sentence to be written as an answer, number {number}" for number in range(60)], "texts to write"),
    ],
)
def test_labels_that_are_no_classes(labels, match):
    with pytest.raises(TaskError, match=match):
        read(([f"text {number}" for number in range(60)], labels))


def test_more_than_a_thousand_classes():
    with pytest.raises(TaskError, match="10000 distinct labels"):
        read(([f"text {number}" for number in range(20_000)], [f"c{number % 10_000}" for number in range(20_000)]))


@pytest.mark.parametrize("classes", [2, 5, 77, 150])
def test_integer_codes_are_classes(classes):
    rows = classes * 4
    dataset = read(([f"text {number}" for number in range(rows)], [number % classes for number in range(rows)]))
    assert len(dataset.classes) == classes


def test_equal_texts():
    with pytest.raises(TaskError, match="same text"):
        read((["a"] * 4, list("xyxy")))


def test_half_star_ratings_are_classes():
    ratings = [1.0, 1.5, 2.0, 2.5, 3.0] * 8
    assert read(([f"t {i}" for i in range(40)], ratings)).classes == ("1", "1.5", "2", "2.5", "3")


def archive():
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("rows.csv", delimited(","))
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content", "error", "match"),
    [
        ("a.csv", b"", EmptyData, "empty"),
        ("a.csv", b" \n\n ", EmptyData, "empty"),
        ("a.csv", b"text,label\n", EmptyData, "header and no rows"),
        ("a.csv", b"text,label\n,\n", EmptyData, "header and no rows"),
        ("a.csv", b"\xef\xbb\xbf", EmptyData, "empty"),
        ("a.csv", b"text,label\n,a\n ,b\n", EmptyData, "No row has text"),
        ("a.csv", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), UnreadableFile, "PNG"),
        ("a.csv", archive(), UnreadableFile, "zip"),
        ("a.csv", gzip.compress(b"text,label\n", mtime=0), UnreadableFile, "gzip"),
        ("a.csv", pickle.dumps({"text": ["a"]}), UnreadableFile, "pickle"),
        ("a.pkl", b"anything", UnreadableFile, "pickle"),
        ("a.xls", b"anything", UnreadableFile, "xlsx"),
        ("a.csv", bytes(range(256)) * 20, UnreadableFile, "binary"),
        ("a.csv", b"\xff\xfea", UnreadableFile, "utf-16"),
        ("a.parquet", b"", EmptyData, "empty"),
        ("a.json", b"[]", EmptyData, "empty array"),
    ],
)
def test_files_that_hold_no_rows(put, name, content, error, match):
    with pytest.raises(error, match=match) as caught:
        read(put(name, content))
    assert name in str(caught.value)


def test_paths_that_are_no_files(put, tmp_path):
    put("tickets.csv", delimited(","))
    with pytest.raises(UnreadableFile, match=r"Did you mean .*tickets\.csv"):
        read(tmp_path / "tickts.csv")
    (tmp_path / "data").mkdir()  # a folder is no file to suggest
    with pytest.raises(UnreadableFile, match="Check the path"):
        read(tmp_path / "dat")
    with pytest.raises(UnreadableFile, match=r"folder.*tickets\.csv"):
        read(str(tmp_path))
    for odd in ("", "a\x00b", "x" * 5000, "~no_such_user/x", "nothing"):
        with pytest.raises(UnreadableFile):
            read(odd)
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(UnreadableFile, match="regular file"):
        read(tmp_path / "pipe.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(put):
    path = put("rows.csv", delimited(","))
    path.chmod(0)
    with pytest.raises(UnreadableFile, match="permission"):
        read(path)


def test_hub_without_a_network_says_so(monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "https://no-such-host.invalid")
    for name in ("owner/name", "owner/name:test", "name:test"):
        with pytest.raises(UnreadableFile, match="cannot be reached"):
            read(name)


def test_reading_imports_no_heavy_library():
    import subprocess
    import sys

    code = "import sys, fewtune.data; assert not {'pandas', 'torch', 'pyarrow', 'sklearn', 'scipy'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_dataset_says_how_it_was_read(put):
    dataset = read(put("rows.csv", delimited(",")))
    assert isinstance(dataset, Dataset)
    assert dataset.source.endswith("rows.csv")
    assert {"Delimiter: comma.", "Text column: 'text'.", "Label column: 'label'."} <= set(dataset.notes)


@pytest.mark.parametrize(
    ("name", "content", "texts", "labels"),
    [
        ("a.csv", "text,label\nred,x\nblue,x\ngreen,\n", ["red", "blue"], ["x", "x"]),
        ("a.csv", "text,label\nred,\nblue,\n", ["red", "blue"], [None, None]),
        ("a.csv", "text\nred\nblue\n", ["red", "blue"], [None, None]),
        ("a.txt", "red, white\nblue\n", ["red, white", "blue"], [None, None]),
        ("a.txt", "text\tlabel\nred\tx\nblue\ty\n", ["red", "blue"], ["x", "y"]),
        ("a.csv", "text,label\nred,1.25\nred,3.5\n", ["red", "red"], ["1.25", "3.5"]),
    ],
)
def test_rows_to_look_at_need_no_labels_and_make_no_task(tmp_path, name, content, texts, labels):
    (tmp_path / name).write_text(content)
    dataset = read(tmp_path / name, labelled=None)
    assert dataset.texts == texts
    assert [example.label for example in dataset] == labels


def test_rows_to_look_at_ask_where_two_columns_could_be_the_label(tmp_path):
    (tmp_path / "a.csv").write_text("text,topic,intent\n" + "some words here,a,b\n" * 4)
    with pytest.raises(ColumnError, match="--label COLUMN"):
        read(tmp_path / "a.csv", labelled=None)
    assert read(tmp_path / "a.csv", labelled=False).label_column is None


def labelled(tmp_path, labels):
    file = tmp_path / "rows.csv"
    lines = [f"message number {place},{name}" for place, name in enumerate(labels)]
    file.write_text("text,label\n" + "\n".join(lines) + "\n", encoding="utf-8")
    return read(file)


def test_an_accent_of_its_own_makes_no_class_of_its_own(tmp_path):
    whole, parts = "caf\u00e9", "cafe\u0301"
    data = labelled(tmp_path, [whole, parts, "tea"] * 6)
    assert data.classes == (whole, "tea")
    assert any(note.startswith("6 labels held letters written in parts") for note in data.notes)
    assert not any("written in parts" in note for note in labelled(tmp_path, [whole, "tea"] * 6).notes)


@pytest.mark.parametrize("alike", [("1", "1.0", "01"), ("Tea", "tea"), ("red  tea", "red tea"), ("\uff11", "1")])
def test_labels_that_are_one_but_for_their_writing_are_named(tmp_path, alike):
    data = labelled(tmp_path, [*alike, "other"] * 6)
    (note,) = [note for note in data.notes if "are kept apart" in note]
    assert all(repr(name) in note for name in alike)
    assert "other" not in note


def test_labels_that_differ_in_more_are_not(tmp_path):
    data = labelled(tmp_path, ["1", "2", "1.5", "nano", "infinity", "inf"] * 6)
    assert not any("are kept apart" in note or "so called" in note for note in data.notes)


@pytest.mark.parametrize("written", ["NA", "nan", "null", "None", "N/A"])
def test_what_programs_write_for_nothing_is_named_when_it_becomes_a_class(tmp_path, written):
    data = labelled(tmp_path, [written, "tea", "coffee"] * 6)
    assert written in data.classes
    (note,) = [note for note in data.notes if "empty these cells" in note]
    assert note.startswith(f"Label {written!r}: 6 rows are read")
