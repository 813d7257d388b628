"""What an audit says of itself: the verdict, `audit.json` to the letter, the page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from odd_checks import Broken, Grave

import fewtune
from fewtune import auditing
from fewtune.audit.base import Finding
from fewtune.audit.registry import CHECKS
from fewtune.auditing import audit, check
from fewtune.data.base import Dataset
from fewtune.testing.checks import faulty, whole
from fewtune.testing.toys import toy_dataset

NAMES = [one.name for one in CHECKS]


@pytest.mark.parametrize(
    ("severities", "sentence"),
    [
        ([], "Nothing stands in the way."),
        (["note"], "Nothing stands in the way."),
        (["warning"], "Nothing stands in the way, but 1 thing is worth mending."),
        (["warning", "warning"], "Nothing stands in the way, but 2 things are worth mending."),
        (["blocks", "blocks", "warning"], "2 things would invalidate a result from these data."),
    ],
)
def test_the_verdict(severities, sentence):
    found = audit(whole(toy_dataset(6)), checks=[])
    held = tuple(Finding("x", severity, "What.", "Why.", "Do.") for severity in severities)
    assert replace(found, findings=held).sentence == sentence


def test_what_could_not_be_looked_at_is_not_found_fine():
    bare = Dataset(tuple(replace(example, label=None) for example in toy_dataset(6)))
    nothing = check(bare, only=["label_errors"], backbone=None)
    assert nothing.unfinished
    assert nothing.sentence.startswith("Nothing was looked at")
    assert audit(whole(toy_dataset(6)), checks=[Broken]).sentence == (
        "Nothing stands in the way. 1 check could not be finished."
    )
    texts = check(bare, only=["lengths"], backbone=None)
    assert not texts.unfinished
    assert texts.sentence == "Nothing stands in the way. There are no labels to check."


def test_json_holds_every_row_of_every_finding():
    found = audit(faulty(), checks=(Broken, Grave, *CHECKS))
    plain = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert [len(one["rows"]) for one in plain["findings"]] == [len(one.rows) for one in found.findings]
    assert plain["verdict"] == {"blocked": True, "sentence": found.sentence}
    by_name = {one["name"]: one for one in plain["checks"]}
    assert list(by_name) == ["broken", "grave", *NAMES]
    assert (by_name["broken"]["status"], by_name["grave"]["status"]) == ("failed", "ran")
    assert by_name["grave"]["findings"] == 2
    assert by_name["grave"]["question"] == "Whatever it sees is wrong."


def keys(value, way=""):
    """Every key of a nested value as a path; the names within `numbers` and the like are data, not format."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield name
            if name not in ("numbers", "versions", "parts"):
                yield from keys(inner, f"{way}.{name}")
    elif isinstance(value, list):
        for inner in value[:1]:
            yield from keys(inner, way)


def test_the_format_is_written_down(tiny_folders):
    """AUDIT.md names every key of audit.json, and audit.json has every key that AUDIT.md names."""
    train = faulty().train
    plain = check(train, test=train, unlabelled=train.texts, backbone=str(tiny_folders("bert")), model=False).to_json()
    there = {*keys(plain), *keys(next(iter(plain["parts"].values()))), *plain["parts"], "command"}
    page = (Path(fewtune.__file__).parent / "report" / "AUDIT.md").read_text(encoding="utf-8")
    block = page.split("```")[1]
    values = {"blocks", "warning", "note", "ran", "skipped", "failed", "classification"}
    named = set(re.findall(r'"(\w+)"', block)) | set(re.findall(r"^(\w+)", block, re.MULTILINE))
    assert there - named == set()
    assert named - there - values - set(plain["versions"]) - {"fewtune"} == set()


def test_it_is_written_as_a_page(tmp_path):
    page = check(toy_dataset(6), backbone=None).write(tmp_path / "checked")
    assert page.name == "audit.html"
    assert json.loads((tmp_path / "checked" / "audit.json").read_text())["format"] == auditing.FORMAT
