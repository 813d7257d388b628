"""Dirt is named by kind, with the command that cleans it; clean tickets have none."""

from pathlib import Path

from fewtune.audit.base import Ground
from fewtune.audit.dirty_text import DirtyText
from fewtune.data.read import read
from fewtune.testing.checks import rows_of

EXAMPLES = Path(__file__).parents[2] / "examples"
CLEAN = ["Where is my parcel?", "Please cancel my plan.", "The app crashes.", "It came broken."]


def findings(texts, **parts):
    return list(DirtyText().run(Ground(rows_of(texts, ["a", "b"] * (len(texts) // 2)), **parts)))


def test_the_example_tickets_are_clean():
    ground = Ground(*(read(EXAMPLES / f"tickets{end}.csv", labelled=None) for end in ("", "_test", "_unlabelled")))
    assert list(DirtyText().run(ground)) == []


def test_each_kind_is_a_finding_of_its_own_with_its_rows():
    dirty = ["schÃ¶n", "<p>one</p><p>two</p>", "zero\u200bwidth", "two  spaces", "lost \ufffd\ufffd letter", "fine"]
    found = findings([*CLEAN, *dirty])
    assert [(one.severity, one.numbers.get("cleaner"), [row.row for row in one.rows]) for one in found] == [
        ("warning", "encoding", [5]),
        ("warning", "markup", [6]),
        ("note", "characters", [7]),
        ("note", "spaces", [8]),
        ("warning", None, [9]),
    ]
    assert all("`fewtune prepare FILE`" in one.do for one in found[:4])
    assert found[0].rows[0].note == "UTF-8 that was read as Latin-1"
    assert found[0].what == "1 training row (10 %) holds letters that were read with the wrong encoding."
    assert found[-1].rows[0].note == "2 lost"


def test_every_part_is_looked_at():
    test = rows_of(["a &amp; b"], ["a"])
    (found,) = findings(CLEAN, test=test, unlabelled=rows_of(["c &amp; d", "fine"], [None, None]))
    assert [(row.part, row.row) for row in found.rows] == [("test", 1), ("unlabelled", 1)]
    assert found.what == "1 test row (100 %) and 1 unlabelled row (50 %) hold HTML."


def test_repeated_lines_name_the_option_that_cuts_them():
    texts = [f"{wish}\nSent from my phone today" for wish in (*CLEAN, "I can't log in.", "Refund me.")]
    (found,) = findings(texts)
    assert found.numbers["cleaner"] == "boilerplate"
    assert "--only boilerplate" in found.do
    assert len(found.rows) == 6
