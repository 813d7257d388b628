"""What is said once is said once a test."""

import pytest

from fewtune.tune.saver import say_once


@pytest.fixture(autouse=True)
def _nothing_said_yet():
    say_once.cache_clear()
