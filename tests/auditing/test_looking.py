"""Which checks look, what comes first, and that a check that fails is named."""

import pytest
from odd_checks import Broken, Grave

from fewtune.audit.registry import CHECKS
from fewtune.auditing import audit, check, chosen
from fewtune.auditing.looking import concerning
from fewtune.errors import UsageError
from fewtune.testing.checks import rows_of, whole
from fewtune.testing.toys import toy_dataset

NAMES = [one.name for one in CHECKS]


def test_the_gravest_comes_first_and_a_broken_check_is_named():
    found = audit(whole(toy_dataset(6)), checks=[Broken, Grave])
    assert [one.severity for one in found.findings] == ["blocks", "note"]
    assert found.blocked
    assert found.failed == {"broken": "The dictionary is missing. Install it."}
    assert set(found.seconds) == {"grave"}
    assert found.sentence == "1 thing would invalidate a result from these data. 1 check could not be finished."


def test_checks_are_chosen_by_name():
    assert [one.name for one in chosen(["copies", "task"])] == ["task", "copies"]
    assert [one.name for one in chosen(None, ["task"])] == [name for name in NAMES if name != "task"]
    with pytest.raises(UsageError, match=r"no check 'copis'\. Did you mean 'copies'\?"):
        chosen(["copis"])
    with pytest.raises(UsageError, match="No check is left"):
        chosen(["task"], ["task"])


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_very_few_rows_never_end_the_audit(tiny_folders, rows):
    train = rows_of(["red and blue", "the dog", "a saw", "a cat", "green"][:rows], ["a", "b", "a", "b", "c"][:rows])
    found = check(train, test=train, backbone=str(tiny_folders("bert")), about="words")
    assert set(found.seconds) | set(found.failed) | set(found.skipped) == {
        one.name for one in concerning(CHECKS, "classification")
    }
    assert all(str(why).strip() for why in found.failed.values())
