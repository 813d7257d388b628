"""Rows are cleaned in order, decisions are kept to, nothing else is touched."""

import json
from pathlib import Path

import pytest

from fewtune import read
from fewtune.data.convert import convert
from fewtune.errors import ColumnError, UnreadableFile, UsageError
from fewtune.preparing import prepare
from fewtune.preparing.prepared import FORMATS

DIRTY = [
    {"id": "a", "text": "<p>Where is my <b>parcel</b>?</p>", "label": "delivery ", "customer": " c1", "amount": 1},
    {"id": "b", "text": "Das ist schÃ¶n &amp; gut", "label": "praise", "customer": "c2", "amount": 2.5},
    {"id": "c", "text": "Where is  my parcel", "label": "delivery", "customer": "c1", "amount": None},
    {"id": "d", "text": "mail ann@example.org", "label": "contact", "customer": "c3", "amount": 4},
    {"id": "e", "text": "where is my parcel!", "label": "refund", "customer": "c3", "amount": 5},
    {"id": "f", "text": "", "label": "refund", "customer": "c3", "amount": 6},
]


def texts(prepared):
    return prepared.columns["text"]


def test_every_cleaner_takes_its_turn_and_other_columns_stay_as_they_are():
    prepared = prepare(DIRTY, group="customer")
    assert texts(prepared) == [
        *("Where is my parcel?", "Das ist schön & gut", "Where is my parcel", "mail ann@example.org"),
        *("where is my parcel!", ""),
    ]
    assert prepared.columns["amount"] == [1, 2.5, None, 4, 5, 6]
    assert prepared.columns["label"][0] == "delivery"
    assert prepared.columns["customer"][0] == "c1"
    assert [(c.row, c.column, c.cleaner) for c in prepared.changes] == [
        (1, "label", "spaces"),
        (1, "customer", "spaces"),
        (2, "text", "encoding"),
        (1, "text", "markup"),
        (2, "text", "markup"),
        (3, "text", "spaces"),
    ]
    assert all(change.decision == "applied" and change.reason for change in prepared.changes)


def test_only_the_cleaners_named():
    assert texts(prepare(DIRTY, only=["markup"]))[:3] == [
        "Where is my parcel?",
        "Das ist schÃ¶n & gut",
        "Where is  my parcel",
    ]


def test_cleaning_what_was_cleaned_finds_nothing():
    once = prepare(DIRTY, mask=["all"])
    again = prepare(once.columns, mask=["all"])
    assert (texts(again), again.changes, again.is_clean) == (texts(once), (), True)


def test_one_cleaner_uncovers_work_for_another():
    """The entities must be decoded before the broken letter can be seen, and then again."""
    rows = [("sch&Atilde;&para;n &amp;amp; gut", "a"), ("fine", "b")]
    prepared = prepare(rows)
    assert texts(prepared)[0] == "schön & gut"
    assert {change.cleaner for change in prepared.changes} == {"markup", "encoding"}


def test_personal_data_are_shown_and_masked_on_request():
    shown = prepare(DIRTY)
    assert shown.personal_data == {"email": {"left": 1, "rows": [4], "masked": 0}}
    assert texts(shown)[3] == "mail ann@example.org"
    masked = prepare(DIRTY, mask=["email"])
    assert texts(masked)[3] == "mail [EMAIL]"
    assert masked.personal_data == {"email": {"left": 0, "rows": [], "masked": 1}}
    assert texts(prepare(DIRTY, mask=["phone"]))[3] == "mail ann@example.org"


def test_duplicates_with_the_same_label_are_dropped_on_request_only():
    assert len(texts(prepare(DIRTY))) == 6
    prepared = prepare(DIRTY, drop=["duplicates"])
    assert prepared.columns["id"] == ["a", "b", "d", "e", "f"], "e says the same under another label and stays"
    (dropped,) = [change for change in prepared.changes if change.column is None]
    assert dropped.before["id"] == "c"
    assert dropped.reason == "a copy but for case and punctuation of row 1, same label"


def test_a_near_copy_says_so():
    long = "please tell me where the parcel with my new thermostat is today"
    prepared = prepare([(long, "a"), (long + "!!", "a"), (long + " ok", "a"), ("other", "b")], drop=["duplicates"])
    assert [change.reason for change in prepared.changes] == [
        "a copy but for case and punctuation of row 1, same label",
        "a near copy of row 1, same label",
    ]


def test_empty_rows_are_dropped_on_request_and_never_made():
    assert prepare(DIRTY, drop=["empty"]).columns["id"] == ["a", "b", "c", "d", "e"]
    assert texts(prepare([("<br>", "a"), ("\u200b", "b"), ("fine", "a")])) == ["<br>", "\u200b", "fine"]


def test_repeated_lines_are_proposed_and_left_until_asked_for():
    rows = [
        (f"wish number {word}\nSent from my phone today", "a") for word in ("one", "two", "six", "ten", "no", "last")
    ]
    left = prepare(rows)
    assert texts(left) == [text for text, _ in rows]
    assert {change.decision for change in left.changes} == {"open"}
    assert texts(prepare(rows, only=["boilerplate"])) == [text.split("\n")[0] for text, _ in rows]


def test_decisions_are_asked_for_and_kept_to():
    asked = []

    def decide(change, left):
        asked.append((change.cleaner, change.row, left))
        return "applied" if change.cleaner == "markup" else "rejected"

    prepared = prepare(DIRTY, decide=decide)
    assert asked == [
        *(("spaces", 1, 1), ("encoding", 2, 1), ("markup", 1, 2), ("markup", 2, 1), ("spaces", 3, 1)),
    ]
    assert texts(prepared)[1] == "Das ist schÃ¶n & gut"
    kept = {change.key: change.decision == "applied" for change in prepared.changes}
    again = prepare(DIRTY, decided=kept)
    assert texts(again) == texts(prepared)
    assert [change.decision for change in again.changes] == [change.decision for change in prepared.changes]


def test_no_to_a_label_is_not_no_to_its_text():
    rows = [("two  spaces", "a "), ("fine", "b")]
    prepared = prepare(rows, decide=lambda change, left: "rejected" if change.column == "label" else "applied")
    assert (texts(prepared)[0], prepared.columns["label"][0]) == ("two spaces", "a ")


def test_halves_of_surrogate_pairs_are_replaced_and_told_whatever_was_asked():
    prepared = prepare([{"text": "smile \ud83d\ude00 \ud83d", "label": "a", "note": "\ude00"}], only=["spaces"])
    assert texts(prepared) == ["smile 😀 \ufffd"]
    assert [change.column for change in prepared.changes] == ["text", "note"]


def test_rows_without_labels_can_be_prepared():
    prepared = prepare(["one &amp; two", "three"])
    assert texts(prepared) == ["one & two", "three"]
    assert prepared.summary()["label_column"] is None


def test_conflicting_spellings_are_shown_not_changed():
    prepared = prepare([("one", "Refund"), ("two", "refund"), ("three", "other ")])
    assert prepared.columns["label"] == ["Refund", "refund", "other"]
    assert any("'Refund', 'refund'" in note for note in prepared.summary()["notes"])


@pytest.mark.parametrize(
    ("wanted", "said"),
    [
        ({"only": ["markop"]}, "Did you mean markup"),
        ({"mask": ["e-mail"]}, "Did you mean email"),
        ({"drop": ["dups"]}, "duplicates, empty"),
        ({"only": [""]}, "unknown"),
        ({"only": ["personal_data"]}, "unknown"),
    ],
)
def test_a_name_nobody_has_is_refused(wanted, said):
    with pytest.raises(UsageError, match=said):
        prepare(DIRTY, **wanted)


def test_a_column_that_is_not_there_is_refused():
    with pytest.raises(ColumnError, match="no column 'txt'"):
        prepare(DIRTY, text="txt")


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_keeps_every_column(tmp_path, format):
    prepared = prepare(DIRTY)
    files = prepared.save(tmp_path, format=format)
    assert files["cleaned"].endswith(f"memory.{format}")
    again = prepare(files["cleaned"])
    assert [text or "" for text in texts(again)] == texts(prepared)
    amounts = [again.bench.cell("amount", place) for place in range(len(DIRTY))]
    assert [float(amount or 0) for amount in amounts] == [1, 2.5, 0, 4, 5, 6]


def test_values_no_json_has_become_text(tmp_path):
    from datetime import date

    rows = [{"text": "one", "label": "a", "day": date(2024, 1, 2), "share": float("inf"), "tags": ["x", 1]}] * 2
    lines = Path(prepare(rows).save(tmp_path, format="jsonl")["cleaned"]).read_text().splitlines()
    assert json.loads(lines[0]) == {"text": "one", "label": "a", "day": "2024-01-02", "share": "inf", "tags": ["x", 1]}
    prepare(rows).save(tmp_path, format="parquet")


def test_source_and_the_log_of_other_rows_are_not_written_over(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("text,label\none  two,a\nthree,b\n")
    with pytest.raises(UsageError, match="is the file that is read"):
        prepare(path).save(tmp_path)
    assert path.read_text().startswith("text,label\none  two")
    out = tmp_path / "out"
    prepare(path).save(out)
    prepare(path, only=["markup"]).save(out)
    with pytest.raises(UsageError, match="is of other rows"):
        prepare(DIRTY).save(out)
    with pytest.raises(UsageError, match="--format 'xml'"):
        prepare(path).save(out, format="xml")


def test_column_names_no_file_can_hold_are_replaced():
    row = dict.fromkeys(["text", "label", "\ud800", "\ufffd", "\udfff", "\ufffd (2)"], "one")
    assert list(prepare([row]).columns) == ["text", "label", "\ufffd (3)", "\ufffd", "\ufffd (4)", "\ufffd (2)"]


def test_a_file_of_others_in_the_folder_is_not_written_over(tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\none  two,a\nthree,b\n")
    mine = tmp_path / "out" / "rows.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        prepare(tmp_path / "rows.csv").save(mine.parent)
    assert mine.read_text() == "mine"


@pytest.mark.parametrize("content", [b'{"a": 1}\n', b"", b"\xff\xfe", b"[]"])
def test_a_log_that_no_preparation_wrote_is_not_written_over(content, tmp_path):
    (tmp_path / "rows.csv").write_text("text,label\none  two,a\nthree,b\n")
    log = tmp_path / "out" / "changes.jsonl"
    log.parent.mkdir()
    log.write_bytes(content)
    with pytest.raises(UsageError, match=r"not a log that `fewtune prepare` wrote.*Move it away, or .* --out") as told:
        prepare(tmp_path / "rows.csv").save(log.parent)
    assert "--undo" not in str(told.value)
    assert log.read_bytes() == content
    assert [one.name for one in log.parent.iterdir()] == ["changes.jsonl"]


@pytest.mark.parametrize("to", ["argilla", "label-studio", "chat", "sharegpt"])
def test_records_of_other_tools_are_refused_with_the_way_round(to, tmp_path):
    rows = read([("Where  is it?", "a"), ("&amp; what of this?", "b")] * 2)
    records = convert(rows, tmp_path / "records.json", to=to).path
    with pytest.raises(UnreadableFile, match=r"fewtune convert FILE rows\.jsonl"):
        prepare(records)
    table = convert(read(records, labelled=None), tmp_path / "rows.jsonl").path
    assert prepare(table).columns[prepare(table).bench.columns.text][:2] == ["Where is it?", "& what of this?"]


@pytest.mark.parametrize("to", ["prodigy", "spacy", "completions"])
def test_records_whose_texts_are_a_column_are_cleaned_in_place(to, tmp_path):
    records = convert(read([("Where  is it?", "a"), ("& what?", "b")]), tmp_path / "records.jsonl", to=to).path
    prepared = prepare(records)
    assert prepared.columns[prepared.bench.columns.text][0] == "Where is it?"
    assert set(prepared.columns) == set(json.loads(records.read_text().splitlines()[0]))
