"""A review asks for the worst row, is told, remembers, and never touches what it was given."""

import json
from datetime import UTC, datetime

import numpy as np
import pytest

from fewtune.audit.base import Ground, Predictions
from fewtune.audit.review import Review, questions
from fewtune.data.base import Dataset, Example
from fewtune.errors import StoreError, UsageError

NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)


def ground(rows=24, wrong=(0, 5)):
    """Two classes; the rows in `wrong` carry the other label, and two copies contradict each other."""
    true = np.arange(rows) % 2
    given = true.copy()
    given[list(wrong)] = 1 - given[list(wrong)]
    probs = np.where(true[:, None] == [0, 1], 0.9, 0.1) + np.linspace(0, 0.05, rows)[:, None] * [1, -1]
    texts = [f"text {row}" for row in range(rows)]
    texts[20] = texts[21] = "the same words in both"
    examples = tuple(
        Example(text, "ab"[label], id=f"r{row}", row=row)
        for row, (text, label) in enumerate(zip(texts, given, strict=True), 1)
    )
    vectors = np.eye(2, 8, dtype=np.float32)[true]
    place = {text: row for row, text in enumerate(texts)}
    return Ground(
        Dataset(examples),
        embed=lambda asked: vectors[[place[text] for text in asked]],
        predict=lambda: Predictions(given, probs, vectors),
    )


def review(tmp_path, looked_at=None, **more):
    looked_at = looked_at or ground()
    return Review(looked_at.train, questions(looked_at), tmp_path / "log.jsonl", by="jo", now=lambda: NOON, **more)


def test_contradicting_copies_come_first_then_doubted_labels():
    asked = questions(ground())
    assert [question.example.row for question in asked][:2] == [21, 22]
    assert [question.twins for question in asked][:2] == [(21,), (20,)]
    assert {question.example.row for question in asked[2:]} == {1, 6}
    assert [question.number for question in asked] == [1, 2, 3, 4]
    assert all(question.of == 4 for question in asked)
    assert asked[0].suggested == "b"


def test_a_question_brings_the_rows_that_speak_for_each_label():
    question = questions(ground())[-1]
    assert {near.example.label for near in question.as_given} == {question.example.label}
    assert {near.example.label for near in question.as_suggested} == {question.suggested}
    assert question.index not in {near.index for near in (*question.as_given, *question.as_suggested)}


def test_without_predictions_only_copies_are_asked_about():
    looked_at = ground()
    assert [q.example.row for q in questions(Ground(looked_at.train))] == [21, 22]


def test_each_answer_does_what_it_says(tmp_path):
    going = review(tmp_path)
    keep, take, other, skip = (
        going.tell(going.ask(), *answer) for answer in (("keep",), ("take",), ("other", "b"), ("skip",))
    )
    assert going.ask() is None
    assert going.open == 0
    assert (keep.after, take.after, other.after, skip.after) == (keep.before, take.suggested, "b", skip.before)
    assert going.labels() == {d.row: d.after for d in (keep, take, other, skip) if d.after != d.before}


def test_a_new_class_must_be_meant(tmp_path):
    going = review(tmp_path)
    with pytest.raises(UsageError, match="no class 'c'"):
        going.tell(going.ask(), "other", "c")
    with pytest.raises(UsageError, match="empty"):
        going.tell(going.ask(), "other", "  ")
    going.tell(going.ask(), "other", "c", new_class=True)
    assert going.classes == ("a", "b", "c")
    going.tell(going.ask(), "other", "c")


def test_a_suggestion_that_is_not_there_cannot_be_taken(tmp_path):
    from dataclasses import replace

    going = review(tmp_path)
    with pytest.raises(UsageError, match="no suggestion"):
        going.tell(replace(going.ask(), suggested=None), "take")


def test_undo_gives_the_latest_question_back(tmp_path):
    going = review(tmp_path)
    first = going.ask()
    going.tell(first, "keep")
    second = going.ask()
    going.tell(second, "take")
    assert going.undo() == second
    assert going.ask() == second
    assert going.undo() == first
    assert going.undo() is None
    assert going.decisions == ()


def test_the_log_says_who_decided_what_and_when(tmp_path):
    going = review(tmp_path)
    going.tell(going.ask(), "take")
    head, line = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert head["fingerprint"] == going.dataset.fingerprint
    assert (line["row"], line["id"], line["before"], line["after"]) == (21, "r21", "a", "b")
    assert (line["by"], line["when"], line["action"]) == ("jo", "2026-01-02T12:00:00+00:00", "take")
    assert line["suggested"] == "b"


def test_a_review_that_was_left_goes_on(tmp_path):
    going = review(tmp_path)
    going.tell(going.ask(), "take")
    going.tell(going.ask(), "skip")
    later = review(tmp_path)
    assert later.resumed == 1
    assert later.ask() == going.questions[1]
    assert later.labels() == going.labels()
    assert later.undo() == going.questions[0]


def test_a_log_of_other_rows_is_refused(tmp_path):
    review(tmp_path).tell(questions(ground())[0], "keep")
    with pytest.raises(StoreError, match="other rows"):
        review(tmp_path, ground(rows=30))


@pytest.mark.parametrize("damage", ["", "no json", '{"format": 1}\n{"row": 1}'])
def test_a_damaged_log_is_refused_with_advice(tmp_path, damage):
    (tmp_path / "log.jsonl").write_text(damage)
    with pytest.raises(StoreError, match="not a log"):
        review(tmp_path)


def test_a_log_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    looked_at = ground()
    going = Review(looked_at.train, questions(looked_at), tmp_path / "file" / "log.jsonl")
    with pytest.raises(StoreError, match="cannot be written"):
        going.tell(going.ask(), "keep")


def test_nothing_is_written_without_a_log():
    looked_at = ground()
    going = Review(looked_at.train, questions(looked_at))
    going.tell(going.ask(), "keep")
    assert going.by
    assert len(going.decisions) == 1
