"""Decisions are kept the moment they are made, in a file that holds nothing else."""

import pytest

from fewtune.data.clean.log import Change
from fewtune.errors import UsageError
from fewtune.preparing.decisions import DECISIONS, Decisions

CHANGE = Change(3, 3, "3", "text", "spaces", "one  two", "one two", "two spaces")


def test_a_decision_is_there_for_the_next_review(tmp_path):
    with Decisions(tmp_path) as decisions:
        decisions.add(CHANGE, accepted=True)
        assert Decisions(tmp_path).known == {CHANGE.key: True}
        decisions.add(CHANGE, accepted=False)
    assert Decisions(tmp_path).known == {CHANGE.key: False}
    assert "one" not in (tmp_path / DECISIONS).read_text()


@pytest.mark.parametrize("torn", [b"", b"{", b'{"key": "ab', b"\n\n", b'{"key": "ab", "row": 3, "cle'])
def test_what_a_kill_left_is_passed_over(tmp_path, torn):
    (tmp_path / DECISIONS).write_bytes(torn)
    with Decisions(tmp_path) as decisions:
        assert decisions.known == {}
        decisions.add(CHANGE, accepted=True)
    assert Decisions(tmp_path).known == {CHANGE.key: True}


@pytest.mark.parametrize("content", [b'{"a": 1}\n', b"Dear diary\n", b"\xff\xfe\x00", b"[]"])
def test_the_file_of_somebody_else_is_not_added_to(tmp_path, content):
    (tmp_path / DECISIONS).write_bytes(content)
    with pytest.raises(UsageError, match=r"does not hold decisions.*Move it away, or name another folder with --out"):
        Decisions(tmp_path)
    assert (tmp_path / DECISIONS).read_bytes() == content
