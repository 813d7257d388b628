"""What the bench found decides how plans are carried out, on the machine it was found on."""

import json
from dataclasses import dataclass

import pytest

from fewtune.tune.executors import measured
from fewtune.tune.executors.forked import ForkedExecutor, can_fork
from fewtune.tune.executors.measured import Choice, choose, forget, keep, kept
from fewtune.tune.executors.registry import default_executor
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.executors.stacked import StackedExecutor


@pytest.fixture(autouse=True)
def _cache_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setenv("FEWTUNE_CACHE", str(tmp_path / "cache"))


@dataclass
class Way:
    """As measured."""

    processes: int
    slots: int
    tokens_per_second: float


def test_the_fastest_is_taken_and_a_stack_on_a_cpu_only_when_clearly_faster():
    ways = [Way(1, 1, 100.0), Way(2, 1, 190.0), Way(1, 4, 200.0)]
    assert choose(ways) == Choice(2, 1)
    assert choose([*ways, Way(1, 8, 220.0)]) == Choice(1, 8)
    assert choose(ways[:1]) == Choice(1, 1)


def test_on_a_gpu_the_fastest_is_taken_as_it_is(monkeypatch):
    monkeypatch.setenv("FEWTUNE_DEVICE", "cuda")
    assert choose([Way(1, 1, 100.0), Way(1, 16, 101.0)]) == Choice(1, 16)


def test_what_is_kept_is_followed_until_it_is_forgotten():
    usual = type(default_executor())
    assert kept() is None
    assert keep(Choice(1, 5))
    found = default_executor()
    assert isinstance(found, StackedExecutor)
    assert found.slots == 5
    keep(Choice(1, 1))
    assert type(default_executor()) is SerialExecutor
    forget()
    forget()
    assert type(default_executor()) is usual


@pytest.mark.skipif(not can_fork(), reason="processes cannot be forked here")
def test_as_many_workers_as_were_fastest():
    keep(Choice(3, 1))
    found = default_executor()
    assert isinstance(found, ForkedExecutor)
    assert found.workers == 3


def test_another_machine_precision_or_number_of_cores_is_measured_anew(monkeypatch):
    keep(Choice(1, 5))
    monkeypatch.setattr(measured, "usable_cores", lambda: 96)
    assert kept() is None


@pytest.mark.parametrize("text", ["", "[]", "{", '{"machine": 3}'])
def test_a_damaged_file_is_as_good_as_none(text):
    keep(Choice(1, 5))
    measured._file().write_text(text)
    assert kept() is None


@pytest.mark.parametrize("count", [0, -2, True, "4", 10**9, None])
def test_counts_that_make_no_sense_are_not_followed(count):
    keep(Choice(1, 5))
    plain = json.loads(measured._file().read_text())
    measured._file().write_text(json.dumps(plain | {"slots": count}))
    assert kept() is None


def test_where_nothing_can_be_written_nothing_is_kept(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("FEWTUNE_CACHE", str(tmp_path / "file" / "cache"))
    assert not keep(Choice(1, 5))
    assert kept() is None
