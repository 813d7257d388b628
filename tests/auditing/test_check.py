"""A check from end to end: what is read, what is asked, what is left out and why."""

import pandas as pd
import pytest

from fewtune.audit.registry import CHECKS
from fewtune.auditing import check
from fewtune.auditing.looking import concerning
from fewtune.errors import FewtuneError, UsageError
from fewtune.study.progress import Progress
from fewtune.testing.toys import toy_dataset

NAMES = [one.name for one in concerning(CHECKS, "classification")]


class Watching(Progress):
    def __init__(self):
        self.said = []

    def start(self, title, total):
        self.said.append([title, total, 0])

    def advance(self):
        self.said[-1][2] += 1


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


@pytest.mark.parametrize("seed", [-1, True])
def test_a_seed_that_cannot_be_meant(seed):
    with pytest.raises(UsageError, match="seed must be"):
        check(toy_dataset(4), backbone=None, seed=seed)


def test_an_interruption_passes_through(monkeypatch):
    class Stop(Progress):
        def advance(self):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(toy_dataset(6), backbone=None, progress=Stop())


def test_a_bad_backbone_is_an_error():
    with pytest.raises(FewtuneError, match="no folder"):
        check(toy_dataset(6), backbone="./nowhere")
