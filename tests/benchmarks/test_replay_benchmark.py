"""The benchmark of replay: nothing measured is replayed, and its two intervals are what they say."""

import importlib.util
import json
import lzma
import sys
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "generation"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        spec = importlib.util.spec_from_file_location("replay_benchmark", FOLDER / "replay.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules.pop("cells", None)
        return module


def test_what_is_measured_comes_from_the_half_that_is_not_replayed(bench, tmp_path):
    for name in bench.FILES:
        text = "\n\n".join(
            f"Paragraph {number} of {name}, which is long enough to be taken. " * 2 for number in range(60)
        )
        with lzma.open(tmp_path / f"{name}.txt.xz", "wt", encoding="utf-8") as file:
            file.write(text)
    replayed = bench.passages(tmp_path, second_half=False, count=30)
    measured = bench.passages(tmp_path, second_half=True, count=30)
    assert len(replayed) == len(measured) == 30
    assert not set(replayed) & set(measured)
    assert all(bench.LEAST <= len(one) <= bench.MOST for one in (*replayed, *measured))


def test_the_interval_over_draws_is_students(bench):
    found = bench.over_draws([1.0, 2.0, 3.0])
    assert found["mean"] == 2.0
    assert found["high"] - 2.0 == pytest.approx(4.302653 / np.sqrt(3), abs=1e-5)


def test_the_result_says_less_only_where_both_intervals_do(bench):
    result = json.loads((FOLDER / "results" / "replay.json").read_text(encoding="utf-8"))
    for texts in result["forgetting"].values():
        for arm, found in texts.items():
            if arm == "without":
                continue
            told = found["less_than_without"]
            assert told["less"] == (told["over_texts"]["low"] > 0 and told["over_draws"]["low"] > 0)
            assert len(told["each_draw"]) == result["draws"]
            assert told["over_draws"]["mean"] == pytest.approx(np.mean(told["each_draw"]), abs=1e-4)
