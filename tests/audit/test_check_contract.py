"""Every registered check keeps the contract: a new one is tested by being registered."""

import pytest

from fewtune.audit.registry import CHECKS
from fewtune.testing.checks import CheckContract


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
class TestRegistered(CheckContract):
    pass


def test_names_and_titles_differ():
    assert len({check.name for check in CHECKS}) == len(CHECKS)
    assert len({check.title for check in CHECKS}) == len(CHECKS)
