"""`fewtune bench` as a person calls it, on a tiny backbone; how fast it was is nobody's business here."""

import json

import pytest

from fewtune.tune import bench


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    for name in ("SECONDS", "QUICK_SECONDS"):
        monkeypatch.setattr(bench, name, 0.02)
    monkeypatch.setitem(bench.PEAK_SIZES, "cpu", (512,))
    monkeypatch.setattr(bench, "usable_cores", lambda: 1)  # threads that spin make a busy machine's test long


def test_a_table_says_machine_backbone_and_ways(fewtune, tiny_folders):
    answer = fewtune("bench", "--backbone", tiny_folders("bert"), "--quick")
    assert answer.code == 0, answer.err
    for words in ("GiB, on cpu in float32", "LoRA on the top layers", "a run alone, 1 thread", "8 stacked"):
        assert words in answer.out
    for words in ("Fastest here:", "Best stack:", "Cache gain:", "Frozen backbone:", "Matrix peak:"):
        assert words in answer.out


def test_json_is_alone_on_standard_output(fewtune, tiny_folders):
    answer = fewtune("bench", "--backbone", tiny_folders("bert"), "--json", "--quiet")
    assert answer.code == 0, answer.err
    plain = json.loads(answer.out)
    assert {"ways", "best", "best_slots", "cache_gain", "peak_flops", "hardware", "versions"} <= set(plain)
    assert answer.err == ""


def test_a_backbone_that_is_not_there_is_one_clear_line(fewtune, tmp_path):
    answer = fewtune("bench", "--backbone", tmp_path / "none")
    assert answer.code != 0
    assert "There is no folder" in answer.err
