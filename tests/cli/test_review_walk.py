"""The walk through doubtful labels, key by key."""

import csv
import hashlib
import io
import json

import numpy as np
import pytest
from rich.console import Console

from fewtune.audit.base import Ground, Predictions
from fewtune.cli.review import walk
from fewtune.data.read import read
from fewtune.errors import UsageError


def unlike(row):
    """A text that is near to no other."""
    return hashlib.md5(bytes([row])).hexdigest()


@pytest.fixture
def source(tmp_path):
    """A file of two classes in which rows 1 and 6 carry the wrong label."""
    path = tmp_path / "rows.csv"
    labels = [("b", "a")[row % 2] if row in (0, 5) else ("a", "b")[row % 2] for row in range(24)]
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(
            [
                ("key", "text", "label"),
                *((f"k{r}", f"[bold]{r} {unlike(r)}", x) for r, x in enumerate(labels)),
            ]
        )
    return path


def ground(source):
    data = read(source)
    given = np.array(["ab".index(label) for label in data.labels])
    true = np.arange(24) % 2
    probs = np.where(true[:, None] == [0, 1], 0.9, 0.1)
    vectors = np.eye(2, 8, dtype=np.float32)[true]
    place = {text: row for row, text in enumerate(data.texts)}
    return Ground(
        data,
        embed=lambda asked: vectors[[place[text] for text in asked]],
        predict=lambda: Predictions(given, probs, vectors),
    )


@pytest.fixture
def walked(source, tmp_path):
    """`walked("t", "k")`: type these, get the copy's labels (or None) and the screen."""

    def go(*keys):
        typed = iter(keys)

        def ask(prompt):
            try:
                return next(typed)
            except StopIteration:
                raise EOFError from None

        screen = io.StringIO()
        console = Console(file=screen, width=100, highlight=False)
        copy = walk(ground(source), tmp_path / "out", by="jo", ask=ask, console=console)
        return None if copy is None else labels(copy), screen.getvalue()

    return go


def labels(source):
    with source.open(newline="", encoding="utf-8") as file:
        return [row["label"] for row in csv.DictReader(file)]


def test_taken_and_kept(walked, source):
    before = source.read_bytes()
    found, screen = walked("t", "k")
    expected = labels(source)
    expected[0] = "a"
    assert found == expected
    assert source.read_bytes() == before
    assert "1 changed, 1 kept, 0 not decided" in screen
    assert "[bold]0 " in screen
    assert "nearest labelled 'a'" in screen


def test_left_and_gone_on_with(walked, source, tmp_path):
    assert walked("t")[0][0] == "a"
    found, screen = walked("t")
    assert "1 of 2 are decided already" in screen
    assert [found[0], found[5]] == ["a", "b"]
    lines = (tmp_path / "out" / "review.jsonl").read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines[1:]] == ["take", "take"]


def test_undo_asks_again(walked, source):
    found, _ = walked("t", "u", "k", "t")
    assert [found[0], found[5]] == ["b", "b"]


def test_there_may_be_nothing_to_undo(walked):
    assert "nothing to undo" in walked("u", "q")[1]


def test_another_label_is_checked_against_the_classes(walked):
    found, screen = walked("o", "A", "o", "new one", "n", "o", "new one", "y")
    assert found[0] == "a"
    assert found[5] == "new one"
    assert "Classes: a, b" in screen


def test_skipped_rows_are_asked_again_another_time(walked):
    found, screen = walked("s", "s")
    assert found is None
    assert "2 not decided" in screen
    assert "no copy is written" in screen
    assert walked("t", "q")[0][0] == "a"


def test_other_keys_are_explained(walked):
    assert "Type one of k, t, o, s, u, q" in walked("x", "", "q")[1]


def test_nothing_to_review(tmp_path, source):
    clean = tmp_path / "clean.csv"
    clean.write_text("text,label\n" + "".join(f"{unlike(row)},{'ab'[row % 2]}\n" for row in range(24)))
    screen = io.StringIO()
    assert walk(ground(clean), tmp_path / "out", console=Console(file=screen)) is None
    assert "nothing to review" in screen.getvalue()


def test_rows_without_labels_are_refused(tmp_path):
    data = read([("text one", "a"), ("text two", "b")]).replace()
    bare = data.replace(examples=[type(e)(e.text, row=e.row) for e in data])
    with pytest.raises(UsageError, match="have none"):
        walk(Ground(bare), tmp_path / "out")
