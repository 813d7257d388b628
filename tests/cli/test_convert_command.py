"""`fewtune convert` as a person calls it, and what a fit says of rows that are for writing."""

import json

import pytest

SAID = {"messages": [{"role": "user", "content": "where is it"}, {"role": "assistant", "content": "on its way"}]}


@pytest.fixture
def chat_file(tmp_path):
    path = tmp_path / "chat.jsonl"
    path.write_text("\n".join(json.dumps(SAID) for _ in range(6)))
    return path


def test_there_and_back(fewtune, toys_csv, tmp_path):
    out = tmp_path / "toys.json"
    answer = fewtune("convert", toys_csv, out, "--to", "label-studio")
    assert answer.code == 0, answer.err
    assert "24 rows written" in answer.out
    assert "Lost" not in answer.err
    back = fewtune("convert", out, tmp_path / "back.csv", "--json")
    assert "Format: Label Studio JSON." in back.err
    assert json.loads(back.out)["rows"] == 24
    assert (tmp_path / "back.csv").read_text().splitlines()[0] == "text,label"


def test_an_export_is_fitted_as_it_is(fewtune, toys_csv, quick, tmp_path):
    fewtune("convert", toys_csv, tmp_path / "toys.jsonl", "--to", "prodigy")
    answer = fewtune("fit", tmp_path / "toys.jsonl", *quick, "--out", tmp_path / "result")
    assert answer.code == 0, answer.err
    assert "Format: Prodigy annotations." in answer.err


def test_losses_are_named(fewtune, tmp_path):
    (tmp_path / "rows.csv").write_text("id,text,label,shop\nr1,one,a,x\nr2,two,b,y\nr3,three,a,x\n")
    answer = fewtune("convert", tmp_path / "rows.csv", tmp_path / "chat.jsonl", "--to", "chat")
    assert answer.code == 0
    assert "Lost: Chat messages cannot hold the ids of 3 of 3 rows." in answer.err
    assert "other columns of 3 of 3 rows" in answer.err


def test_a_fit_on_conversations_that_teach_nothing_says_why(fewtune, chat_file, tmp_path):
    answer = fewtune("fit", chat_file, "--out", tmp_path / "r")
    assert answer.code == 2
    assert "All 6 completions are the same. Check the column of completions (--label COLUMN)." in answer.err
    assert not (tmp_path / "r").exists()
    assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["{chat}", "{chat}"], "is the file that is read"),
        (["{chat}", "{folder}/x.xyz"], "--to"),
        (["{chat}", "{folder}/x.json", "--to", "poem"], "no format called 'poem'"),
        (["{chat}", "{folder}/x.json", "--to", "argilla"], "hold labels"),
        (["{folder}/absent.json", "{folder}/x.csv"], "no such file"),
    ],
)
def test_what_cannot_be_meant(fewtune, chat_file, tmp_path, arguments, said):
    answer = fewtune("convert", *(one.format(chat=chat_file, folder=tmp_path) for one in arguments))
    assert answer.code == 2
    assert said in answer.err


@pytest.mark.parametrize(("name", "more"), [("out.csv", []), ("out.json", ["--to", "label-studio"]), ("out", [])])
def test_what_is_there_is_replaced_only_when_that_is_said(fewtune, toys_csv, tmp_path, name, more):
    pytest.importorskip("datasets")
    out = tmp_path / name
    assert fewtune("convert", toys_csv, out, *more).code == 0
    before = [path.stat().st_mtime_ns for path in sorted(out.rglob("*")) or [out]]
    refused = fewtune("convert", toys_csv, out, *more)
    assert refused.code == 2
    assert f"{out} is there already: it would be replaced. Name another, or give --overwrite." in refused.err
    assert [path.stat().st_mtime_ns for path in sorted(out.rglob("*")) or [out]] == before
    assert fewtune("convert", toys_csv, out, *more, "--overwrite").code == 0
    assert fewtune("convert", out, tmp_path / "back.csv").code == 0


def test_an_empty_folder_is_written_into_and_one_of_other_files_is_not(fewtune, toys_csv, tmp_path):
    pytest.importorskip("datasets")
    (tmp_path / "out").mkdir()
    assert fewtune("convert", toys_csv, tmp_path / "out").code == 0
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    for more in ([], ["--overwrite"]):
        answer = fewtune("convert", toys_csv, tmp_path / "mine", *more)
        assert answer.code == 1
        assert "holds other files" in answer.err
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_the_file_that_is_read_is_not_replaced_whatever_is_said(fewtune, chat_file):
    answer = fewtune("convert", chat_file, chat_file, "--overwrite")
    assert answer.code == 2
    assert "is the file that is read" in answer.err
