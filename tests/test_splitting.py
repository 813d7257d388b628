"""Splitting end to end: copies stay together, files keep every column, what was locked is not drawn anew."""

import json
import random

import pytest

from fewtune import read
from fewtune.data.split_file import SplitFile
from fewtune.data.test_lock import lock_path
from fewtune.errors import DataError, UsageError
from fewtune.splitting import Wanted, split, write


def sentence(number):
    """A text that is near no other."""
    rng = random.Random(number)
    return " ".join("".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=6)) for _ in range(6))


def csv_of(rows, header="text,label,who,when"):
    return "\n".join([header, *rows]) + "\n"


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.csv"
    lines = [f"{sentence(n)},{'ab'[n % 2]},w{n // 4},2024-01-{n % 28 + 1:02d}" for n in range(56)]
    path.write_text(csv_of(lines))
    return path


def test_copies_stay_together(tmp_path):
    lines = [f"{sentence(n // 2)},{'ab'[n % 4 // 2]},w,1" for n in range(40)]
    (tmp_path / "rows.csv").write_text(csv_of(lines))
    made = split(read(tmp_path / "rows.csv"), Wanted(folds=4))
    for one in made.splits:
        assert not {row // 2 for row in one.train.tolist()} & {row // 2 for row in one.test.tolist()}
    assert any("share a group or a text" in note for note in made.notes)


def test_a_test_file_is_set_aside_and_locked(rows, tmp_path):
    done = write(rows, tmp_path / "out", Wanted(folds=3, inner=2), test=0.25, group="who")
    train, test = read(done.files["train"]), read(done.files["test"])
    assert set(done.files) == {"train", "test", "lock", "splits"}
    assert len(train) + len(test) == 56
    assert list(train.examples[0].fields) == ["who", "when"]
    assert not {one.fields["who"] for one in train} & {one.fields["who"] for one in test}
    whole = read(rows)
    original = done.splits.holdout["original_rows"]
    assert [whole.examples[row - 1].text for row in original] == test.texts
    locked = json.loads(lock_path(done.files["test"]).read_text())
    assert locked["original_rows"] == original
    assert len(locked["rows"]) == len(test)
    SplitFile.read(done.files["splits"]).check(train)
    assert all(done.splits.inner)
    with pytest.raises(UsageError, match="locked already"):
        write(rows, tmp_path / "out", test=0.25)


def test_the_newest_rows_are_the_test_and_folds_go_forward(rows, tmp_path):
    done = write(rows, tmp_path / "out", Wanted(folds=3, time="when"), test=0.25)
    train, test = read(done.files["train"]), read(done.files["test"])
    assert max(one.fields["when"] for one in train) < min(one.fields["when"] for one in test)
    when = [one.fields["when"] for one in train]
    for one in done.splits.splits:
        assert max(when[row] for row in one.train) < min(when[row] for row in one.test)


def test_rows_of_the_past_that_are_said_again_are_in_a_file_of_their_own(tmp_path):
    lines = [f"{sentence(n)},{'ab'[n % 2]},w,{n}" for n in range(20)]
    lines[3] = lines[19].replace(",19", ",3")
    (tmp_path / "rows.csv").write_text(csv_of(lines))
    done = write(tmp_path / "rows.csv", tmp_path / "out", Wanted(folds=2, time="when"), test=0.2)
    assert read(done.files["left_out"], labelled=False).examples[0].fields["when"] == "3"
    assert any("left out" in note for note in done.notes)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet"])
def test_formats_and_values_are_kept(rows, tmp_path, suffix):
    first = write(rows, tmp_path / "one", test=0.25, format=suffix).files["train"]
    assert first.suffix == f".{suffix}"
    again = write(first, tmp_path / "two", test=0.25).files["train"]
    assert again.suffix == first.suffix
    assert {one.text for one in read(again)} <= {one.text for one in read(rows)}


def test_json_lines_keep_their_types(tmp_path):
    lines = [{"text": sentence(n), "label": n % 2, "score": n / 2, "tags": ["x", n]} for n in range(12)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    done = write(tmp_path / "rows.jsonl", tmp_path / "out", Wanted(folds=2), test=0.25)
    written = [json.loads(line) for name in ("train", "test") for line in done.files[name].read_text().splitlines()]
    assert sorted(written, key=lambda one: one["score"]) == lines


def test_an_export_of_several_annotators_becomes_the_rows_it_was_read_as(tmp_path):
    def said(n, kind, who):
        return {"text": sentence(n), "options": [], "accept": [kind], "answer": "accept", "_input_hash": n,
                "_annotator_id": who}  # fmt: skip

    lines = [said(n, kind, who) for n in range(12) for who, kind in enumerate([*"ab"[n % 2] * 2, "ab"[(n + 1) % 2]])]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, lines)))
    whole = read(tmp_path / "rows.jsonl")
    done = write(tmp_path / "rows.jsonl", tmp_path / "out", Wanted(folds=2), test=0.25)
    parts = [one for name in ("train", "test") for one in read(done.files[name])]
    assert {one.text: one.label for one in parts} == {one.text: one.label for one in whole}
    assert len(whole) == 12


def test_the_same_seed_gives_the_same_files(rows, tmp_path):
    prints = [write(rows, tmp_path / name, Wanted(seed=seed), test=0.25).splits.fingerprint
              for name, seed in (("a", 1), ("b", 1), ("c", 2))]  # fmt: skip
    texts = [(tmp_path / name / "test.csv").read_text() for name in "abc"]
    assert texts[0] == texts[1] != texts[2]
    assert prints[0] != prints[2]


def test_what_cannot_be_meant(rows, tmp_path):
    with pytest.raises(UsageError, match="not repeated"):
        Wanted(time="when", repeats=2)
    with pytest.raises(UsageError, match="Inner folds"):
        Wanted(inner=1)
    with pytest.raises(UsageError, match="share of the rows"):
        write(rows, tmp_path / "out", test=20)
    with pytest.raises(DataError, match="no column 'date'"):
        write(rows, tmp_path / "out", Wanted(time="date"))
    with pytest.raises(UsageError, match="format"):
        write(rows, tmp_path / "out", test=0.2, format="xlsx")
    (tmp_path / "train.csv").write_text(rows.read_text())
    with pytest.raises(UsageError, match="the file that is read"):
        write(tmp_path / "train.csv", tmp_path, test=0.2)


def test_a_file_that_is_there_is_not_replaced(rows, tmp_path):
    mine = tmp_path / "out" / "train.csv"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(UsageError, match="is there already"):
        write(rows, mine.parent, Wanted(), test=0.2)
    assert mine.read_text() == "mine"


def test_rows_without_labels_are_dealt_at_random_and_it_is_said(tmp_path):
    bare = tmp_path / "bare.csv"
    bare.write_text(csv_of([f"{sentence(n)},w{n}" for n in range(12)], header="text,who"))
    made = split(read(bare, labelled=False), Wanted(folds=3))
    assert made.settings["kind"] == "random"
    assert "There are no labels" in made.notes[-1]
