"""The audit as a whole: what is asked, what is left out and why, and that a check that fails is named."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

import fewtune
from fewtune import auditing
from fewtune.audit.base import Check, Finding
from fewtune.audit.registry import CHECKS
from fewtune.auditing import audit, check, chosen, lay, predictions
from fewtune.data.base import Dataset
from fewtune.errors import DataError, FewtuneError, UsageError
from fewtune.study.progress import Progress
from fewtune.testing.checks import faulty, rows_of, whole
from fewtune.testing.toys import toy_dataset

NAMES = [one.name for one in CHECKS]


class Grave(Check):
    """Whatever it sees is wrong."""

    name: ClassVar[str] = "grave"
    title: ClassVar[str] = "Grave"

    def run(self, ground):
        yield Finding("grave", "note", "A note.", "Why.", "Do.")
        yield Finding("grave", "blocks", "All is lost.", "Why.", "Do.")


class Broken(Check):
    """Cannot be done."""

    name: ClassVar[str] = "broken"
    title: ClassVar[str] = "Broken"

    def run(self, ground):
        yield Finding("broken", "warning", "Half a finding.", "Why.", "Do.")
        raise DataError("The dictionary is missing.", remedy="Install it.")


class Watching(Progress):
    def __init__(self):
        self.said = []

    def start(self, title, total):
        self.said.append([title, total, 0])

    def advance(self):
        self.said[-1][2] += 1


@pytest.fixture
def grave(monkeypatch):
    monkeypatch.setattr(auditing, "CHECKS", (Broken, Grave, *CHECKS))


def test_the_gravest_comes_first_and_a_broken_check_is_named():
    found = audit(whole(toy_dataset(6)), checks=[Broken, Grave])
    assert [one.severity for one in found.findings] == ["blocks", "note"]
    assert found.blocked
    assert found.failed == {"broken": "The dictionary is missing. Install it."}
    assert set(found.seconds) == {"grave"}
    assert found.sentence == "1 thing would invalidate a result from these data. 1 check could not be finished."


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


def test_rows_from_memory_are_looked_at():
    toys = toy_dataset(8)
    rows = list(zip(toys.texts, toys.labels, strict=True))
    frame = pd.DataFrame({"text": toys.texts, "label": toys.labels})
    for source in (rows, frame, (toys.texts, toys.labels), toys):
        found = check(source, test=toys.texts[:3], backbone=None)
        assert found.parts["train"].class_sizes == toys.class_sizes
        assert found.parts["test"].texts == toys.texts[:3]
        assert set(found.skipped) | set(found.seconds) == set(NAMES)


def test_with_a_backbone_everything_that_has_its_files_is_asked(tiny_folders):
    toys = toy_dataset(10)
    about = "animals, colours and tools"
    watching = Watching()
    found = check(
        toys, test=toy_dataset(5, seed=2), unlabelled=toy_dataset(9, seed=3).texts, about=about,
        backbone=str(tiny_folders("bert")), progress=watching,
    )  # fmt: skip
    assert found.skipped == {}
    assert found.failed == {}
    assert list(found.seconds) == NAMES
    for title, total, done in watching.said:
        assert done == total, f"the bar {title!r} ended at {done} of {total}"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"backbone": None}, "no backbone was opened (--no-backbone)"),
        ({"model": False}, "no model was fitted (--no-model)"),
    ],
)
def test_what_needs_a_model_is_left_out_with_the_reason(tiny_folders, options, reason):
    found = check(toy_dataset(8), **({"backbone": str(tiny_folders("bert"))} | options))
    left = {one.name for one in CHECKS if one.needs & {"predictions"}}
    assert left
    assert all(reason in found.skipped[name] for name in left)


def test_rows_without_labels_are_looked_at_without_them():
    found = check(toy_dataset(8).texts, backbone=None)
    assert "the training rows have no labels" in found.skipped["task"]
    assert "copies" in found.seconds
    assert found.to_json()["classes"] == []


def test_a_label_column_can_be_denied(tmp_path):
    (tmp_path / "a.csv").write_text("text,when\nred,monday\nblue,monday\ngreen,tuesday\n")
    assert check(tmp_path / "a.csv", label="", backbone=None).parts["train"].label_column is None
    assert check(tmp_path / "a.csv", backbone=None).parts["train"].label_column == "when"


def test_groups_are_read_from_the_test_file_too(tmp_path):
    (tmp_path / "train.csv").write_text("text,label,who\nred one,a,jo\nblue two,b,al\n")
    (tmp_path / "test.csv").write_text("text,label,who\ngreen three,a,jo\n")
    found = check(tmp_path / "train.csv", test=tmp_path / "test.csv", group="who", backbone=None)
    assert [one.group for one in found.parts["test"]] == ["jo"]
    (tmp_path / "test.csv").write_text("text,label\ngreen three,a\n")
    found = check(tmp_path / "train.csv", test=tmp_path / "test.csv", group="who", backbone=None)
    assert [one.group for one in found.parts["test"]] == [None]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("red", "a"), ("blue", "a")], "one label"),
        ([("red", "a"), ("red", "b")], "the same text"),
        ([(f"costs {n}", f"{n}.{n % 7}5") for n in range(40)], "a quantity to predict"),
    ],
)
def test_what_makes_no_task_blocks(rows, said):
    found = check(rows, backbone=None)
    assert found.blocked
    assert said in found.findings[0].what
    assert found.findings[0].check == "task"


def test_one_class_leaves_the_models_opinion_out(tiny_folders):
    found = check([("red", "a"), ("blue", "a"), ("green", "a")], backbone=str(tiny_folders("bert")))
    assert "there is one class only" in found.skipped["label_errors"]


def test_checks_are_chosen_by_name():
    assert [one.name for one in chosen(["copies", "task"])] == ["task", "copies"]
    assert [one.name for one in chosen(None, ["task"])] == [name for name in NAMES if name != "task"]
    with pytest.raises(UsageError, match=r"no check 'copis'\. Did you mean 'copies'\?"):
        chosen(["copis"])
    with pytest.raises(UsageError, match="No check is left"):
        chosen(["task"], ["task"])


@pytest.mark.parametrize("seed", [-1, True])
def test_a_seed_that_cannot_be_meant(seed):
    with pytest.raises(UsageError, match="seed must be"):
        check(toy_dataset(4), backbone=None, seed=seed)


def test_predictions_are_of_rows_not_seen_and_the_same_each_time(tiny_encoder):
    toys = toy_dataset(12)
    groups = list(range(len(toys)))
    first, second = (predictions(toys, tiny_encoder, groups, seed=3) for _ in range(2))
    np.testing.assert_array_equal(first.probs_NC, second.probs_NC)
    assert first.labels_N.tolist() == [toys.classes.index(label) for label in toys.labels]
    np.testing.assert_allclose(first.probs_NC.sum(1), 1.0)
    shuffled = predictions(toy_dataset(12, shuffled=True), tiny_encoder, groups, seed=3)
    right = (first.probs_NC.argmax(1) == first.labels_N).mean()
    assert right > (shuffled.probs_NC.argmax(1) == shuffled.labels_N).mean() + 0.2


def test_many_rows_are_answered_from_few(tiny_encoder, monkeypatch):
    toys = toy_dataset(20)
    monkeypatch.setattr(auditing, "MOST_LEARNT", 12)
    seen = []
    at_most = auditing._at_most
    monkeypatch.setattr(auditing, "_at_most", lambda *args: seen.append(at_most(*args)) or seen[-1])
    found = predictions(toys, tiny_encoder, list(range(60)))
    assert found.probs_NC.shape == (60, 3)
    assert np.isfinite(found.probs_NC).all()
    labels = np.asarray(toys.labels)
    assert seen
    assert all(len(rows) == 12 and len(set(labels[rows])) == 3 for rows in seen)


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_very_few_rows_never_end_the_audit(tiny_folders, rows):
    train = rows_of(["red and blue", "the dog", "a saw", "a cat", "green"][:rows], ["a", "b", "a", "b", "c"][:rows])
    found = check(train, test=train, backbone=str(tiny_folders("bert")), about="words")
    assert set(found.seconds) | set(found.failed) | set(found.skipped) == set(NAMES)
    assert all(str(why).strip() for why in found.failed.values())


def test_json_holds_every_row_of_every_finding(grave):
    found = audit(faulty(), checks=auditing.CHECKS)
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


def test_an_interruption_passes_through(monkeypatch):
    class Stop(Progress):
        def advance(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(toy_dataset(6), backbone=None, progress=Stop())


def test_a_bad_backbone_is_an_error():
    with pytest.raises(FewtuneError, match="no folder"):
        check(toy_dataset(6), backbone="./nowhere")


def test_the_ground_holds_what_was_given(tiny_encoder):
    toys = toy_dataset(4)
    ground = lay(toys, test=toys, about="words", encoder=tiny_encoder)
    assert [part for part, _ in ground.parts] == ["train", "test"]
    assert ground.vectors("train").shape == (12, tiny_encoder.width)
    assert not lay(Dataset(()), encoder=tiny_encoder).has("predictions")


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
