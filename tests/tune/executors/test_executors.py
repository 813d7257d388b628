"""Every executor keeps the contract. A new one is a line in `EXECUTORS`."""

import pytest

from fewtune.testing.executors import ExecutorContract, toy_context
from fewtune.tune.executors.serial import SerialExecutor

EXECUTORS = [SerialExecutor]


class TestExecutors(ExecutorContract):
    @pytest.fixture(params=EXECUTORS)
    def executor(self, request):
        return request.param()

    @pytest.fixture
    def context(self, tiny_encoder):
        return toy_context(tiny_encoder)
