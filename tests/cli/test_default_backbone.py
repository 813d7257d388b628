"""The command as the README gives it: the embedded backbone on example tickets, no network."""

import json
from pathlib import Path

import numpy as np
import pytest
from csv_files import write_csv

from fewtune import load, read

EXAMPLES = Path(__file__).parents[2] / "examples"
CLASSES = ("refund request", "device offline", "login problem")


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    """Twenty tickets of each of three classes."""
    rows = [(row.text, row.label) for row in read(EXAMPLES / "tickets.csv") if row.label in CLASSES]
    kept = [row for name in CLASSES for row in [row for row in rows if row[1] == name][:20]]
    return write_csv(tmp_path_factory.mktemp("tickets") / "tickets.csv", kept)


def test_tickets_end_to_end(fewtune, tickets, tmp_path):
    methods = ["--method", "zero_shot", "--method", "probe", "--folds", 3, "--repeats", 1]
    answer = fewtune("fit", tickets, *methods, "--budget", "none", "--json", "--out", tmp_path / "fit")
    assert answer.code == 0, answer.err
    result = json.loads(answer.out)
    assert result["winner"]["cv"]["accuracy"]["mean"] > 0.8
    assert [rung["name"] for rung in result["ladder"]] == ["majority", "zero_shot", "probe"]
    assert result["verdict"]["against_majority"]["verdict"] == "better"
    new = [row for row in read(EXAMPLES / "tickets_test.csv") if row.label in CLASSES]
    model = load(tmp_path / "fit")
    answers = model.predict_proba([row.text for row in new]).argmax(1)
    accuracy = np.mean([model.classes[a] == row.label for a, row in zip(answers, new, strict=True)])
    assert accuracy > 0.8
    low, high = (result["winner"]["cv"]["accuracy"][key] for key in ("low", "high"))
    assert low - 0.1 <= accuracy <= high + 0.1
    assert "Traceback" not in (tmp_path / "fit" / "report.html").read_text(encoding="utf-8")
