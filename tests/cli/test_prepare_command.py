"""`fewtune prepare` as a person calls it."""

import io
import json
from pathlib import Path

import pytest

DIRTY = """id,text,label,amount
a,<p>Where is my <b>parcel</b>?</p>,delivery ,1
b,Das ist schÃ¶n &amp; gut,praise,2
c,Where is my  parcel,delivery,3
d,mail ann@example.org,contact,4
"""
CLEAN = "text,label\nWhere is my parcel?,delivery\nRefund me please.,refund\n"
TEXTS = ["Where is my parcel?", "Das ist schön & gut", "Where is my parcel", "mail ann@example.org"]


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("dirty.csv").write_text(DIRTY, encoding="utf-8")
    Path("clean.csv").write_text(CLEAN, encoding="utf-8")


@pytest.fixture
def answers(monkeypatch):
    """Keys a person presses in a review, one a line."""
    return lambda keys: monkeypatch.setattr("sys.stdin", io.StringIO("".join(f"{key}\n" for key in keys)))


def column(path, name="text"):
    import csv

    with Path(path).open(encoding="utf-8", newline="") as file:
        return [row[name] for row in csv.DictReader(file)]


def test_the_cleaned_file_the_log_and_what_was_done(fewtune):
    done = fewtune("prepare", "dirty.csv")
    assert done.code == 0
    assert column("runs/dirty-prepared/dirty.csv") == TEXTS
    assert column("runs/dirty-prepared/dirty.csv", "amount") == ["1", "2", "3", "4"]
    for said in (
        "wrongly read encodings (encoding): 1 row: 1 applied",
        "- Das ist schÃ¶n &amp; gut",
        "e-mail address: 1 in row 4",
        "4 rows written, 3 changed.",
        "Changes: runs/dirty-prepared/changes.jsonl",
    ):
        assert said in done.out
    assert Path("dirty.csv").read_text(encoding="utf-8") == DIRTY


def test_a_clean_file_is_said_to_be_and_written_the_same(fewtune):
    done = fewtune("prepare", "clean.csv", "--out", "out")
    assert "Nothing to clean: the same rows are written." in done.out
    assert Path("out/clean.csv").read_text() == CLEAN
    assert len(Path("out/changes.jsonl").read_text().splitlines()) == 1


def test_json_is_all_there_is_on_standard_output(fewtune):
    done = fewtune("prepare", "dirty.csv", "--mask", "email,phone", "--only", "markup", "--json")
    summary = json.loads(done.out)
    assert summary["cleaners"]["markup"]["applied"] == 2
    assert summary["personal_data"]["email"] == {"left": 0, "rows": [], "masked": 1}
    assert summary["files"]["cleaned"] == "runs/dirty-prepared/dirty.csv"
    assert column(summary["files"]["cleaned"])[1] == "Das ist schÃ¶n & gut"


def test_masking_says_where_the_originals_are_now(fewtune):
    done = fewtune("prepare", "dirty.csv", "--mask", "all", "--drop", "duplicates")
    assert "The changes hold what was masked" in done.out
    assert "3 rows written, 3 changed, 1 dropped." in done.out
    assert column("runs/dirty-prepared/dirty.csv")[-1] == "mail [EMAIL]"


@pytest.mark.parametrize("format", ["csv", "jsonl", "parquet"])
def test_undo_brings_the_rows_back(fewtune, format):
    fewtune("prepare", "dirty.csv", "--mask", "all", "--drop", "duplicates", "--out", "out", "--format", format)
    done = fewtune("prepare", f"out/dirty.{format}", "--undo", "out/changes.jsonl", "--format", "csv")
    assert (done.code, done.out) == (0, "Restored: out/restored/dirty.csv\n")
    assert column("out/restored/dirty.csv") == column("dirty.csv")
    assert Path("out/restored/dirty.csv").read_text(encoding="utf-8") == DIRTY


def test_a_review_asks_is_broken_off_and_goes_on(fewtune, answers):
    answers(["y", "what?", "n"])
    first = fewtune("prepare", "dirty.csv", "--review", "--out", "out")
    assert first.code == 0
    assert "spaces, row 1 (a), 1 of this kind to go: outer white space removed in column 'label'" in first.err
    assert "encoding, row 2 (b)" in first.err
    assert "The review is not finished" in first.out
    assert column("out/dirty.csv", "label")[0] == "delivery"
    assert column("out/dirty.csv") == column("dirty.csv"), "refused and undecided texts stay"
    answers(["a", "a"])
    second = fewtune("prepare", "dirty.csv", "--review", "--out", "out")
    assert "encoding, row 2" not in second.err, "decided already"
    assert "markup, row 1 (a), 2 of this kind to go" in second.err
    assert "not finished" not in second.out
    assert column("out/dirty.csv") == [TEXTS[0], "Das ist schÃ¶n & gut", *TEXTS[2:]]
    third = fewtune("prepare", "dirty.csv", "--out", "out")
    assert "1 rejected" in third.out
    assert column("out/dirty.csv")[1] == "Das ist schÃ¶n & gut", "what was refused stays refused"


def test_no_to_the_rest_and_quit(fewtune, answers):
    answers(["r", "r", "q"])
    done = fewtune("prepare", "dirty.csv", "--review", "--out", "out")
    assert column("out/dirty.csv") == column("dirty.csv")
    assert done.err.count("markup, row") == 1
    log = [json.loads(line) for line in Path("out/changes.jsonl").read_text().splitlines()[1:]]
    assert {line["decision"] for line in log} == {"rejected", "open"}


def test_a_review_of_drops_shows_the_row(fewtune, answers):
    answers(["a", "a", "a", "a", "y"])
    done = fewtune("prepare", "dirty.csv", "--review", "--drop", "duplicates")
    assert "drop  c | Where is my parcel | delivery | 3" in done.err
    assert column("runs/dirty-prepared/dirty.csv", "id") == ["a", "b", "d"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["dirty.csv", "--only", "markop"], "Did you mean markup"),
        (["dirty.csv", "--only", "markup,"], "Known: encoding"),
        (["dirty.csv", "--mask", "names"], "Known: email"),
        (["dirty.csv", "--drop", "rows"], "Known: duplicates"),
        (["dirty.csv", "--format", "xml"], "Known: csv"),
        (["dirty.csv", "--text", "txt"], "no column 'txt'"),
        (["dirty.csv", "--out", "."], "names no folder"),
        ([""], "FILE is empty"),
        (["none.csv"], "no such file"),
        (["clean.csv", "--undo", "none.jsonl"], "cannot be read"),
        (["clean.csv", "--undo", "none.jsonl", "--mask", "all"], "--undo brings rows back"),
        (["dirty.csv", "--out", "../{here}"], "is the file that is read"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_exit_code_2(fewtune, tmp_path, arguments, said):
    done = fewtune("prepare", *(part.format(here=tmp_path.name) for part in arguments))
    assert (done.code, done.out) == (2, "")
    assert said in done.err
    assert len(done.err.strip().splitlines()) == 1


def test_the_log_of_other_rows_is_refused_before_a_review_begins(fewtune, answers):
    fewtune("prepare", "clean.csv", "--out", "out")
    answers(["y"] * 9)
    done = fewtune("prepare", "dirty.csv", "--out", "out", "--review")
    assert done.code == 2
    assert "is of other rows (clean.csv)" in done.err
    assert not Path("out/decisions.jsonl").exists()


def test_invisible_characters_are_made_visible(fewtune):
    Path("odd.csv").write_text("text,label\nzero\u200bwidth,a\nfine,b\n", encoding="utf-8")
    assert "- zero⟨U+200B⟩width" in fewtune("prepare", "odd.csv").out
