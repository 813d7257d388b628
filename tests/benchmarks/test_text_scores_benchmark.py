"""The benchmark of text scores runs on other data, skips without any, and counts what it plants."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "generation" / "text_scores.py"


@pytest.fixture(scope="module")
def bench():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(SCRIPT.parent))
        spec = importlib.util.spec_from_file_location("text_scores_benchmark", SCRIPT)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        sys.modules.pop("cells", None)
        return module


@pytest.fixture
def data(tmp_path, bench):
    """Three small sets in the form of the real ones."""
    for name in bench.SETS:
        (tmp_path / name).mkdir()
        for part, start in (("train", 0), ("test", 3)):
            rows = [
                {
                    "prompt": f"inform(name=joe{row % 7};food=kind{row % 5})",
                    "completion": f"joe{row % 7} has kind{row % 5} food",
                }
                for row in range(start, start + 120)
            ]
            text = "".join(json.dumps(row) + "\n" for row in rows)
            (tmp_path / name / f"{part}.jsonl").write_text(text, encoding="utf-8")
    return tmp_path


def run(bench, monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["text_scores.py", *map(str, arguments)])
    return bench.main()


def test_it_runs_and_says_what_it_measured(bench, data, monkeypatch, tmp_path):
    out = tmp_path / "out.json"
    assert run(bench, monkeypatch, data, "--trials", 2, "--out", out) == 0
    told = json.loads(out.read_text(encoding="utf-8"))
    assert {"versions", "hardware", "trials", *bench.SETS} == set(told)
    errors = told["rnnlg_restaurant"]["slot_errors"]
    assert errors["references"]["rate"] == 0.0
    assert all(part["found"] == part["of"] == 120 for part in errors["planted"].values())
    # The nearest training prompt is the same prompt.
    assert {line["truth"] for line in told["nl2bash"]["coverage"] if line["score"] == "exact_match"} == {1.0}


def test_without_data_it_says_so(bench, monkeypatch, tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^0$"):
        run(bench, monkeypatch, tmp_path / "none", "--out", tmp_path / "out.json")
    assert "skipped: there is no" in capsys.readouterr().out
    assert not (tmp_path / "out.json").exists()
