"""Stages on a tiny model tuned for real: where each begins, what is lost, and that nothing is done twice."""

import json
import shutil

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Dataset, Example
from fewtune.errors import StoreError, UsageError
from fewtune.methods.generation.base import ModelWriter
from fewtune.report.html import render
from fewtune.staging import Plan, Stage, run_stages
from fewtune.staging import run as running
from fewtune.staging.sides import sides
from fewtune.study.evaluator import bits_per_byte
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.writer_folder import load_writer

QUICK = ("full.rate=0.01", "full.epochs=64", "full.batch_size=16", "full.spare=0")


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    """Whose words are further apart than random weights have them, so that it learns in a few steps."""
    folder = make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama")
    model = load_language_model(folder, precision="float32")
    model.model.get_input_embeddings().weight.data.mul_(25)
    model.model.save_pretrained(folder)
    return folder


def datasets():
    toys = writer_toys(16)
    other = tuple(
        Example(f"red {one.prompt}", id=one.id, row=one.row, completion=f"one {n % 3} two")
        for n, one in enumerate(toys)
    )
    return toys, Dataset(other, task="generation", source="other")


def plan_of(writer, out, **options):
    first, second = datasets()
    given = {"methods": ("full",), "changes": QUICK, "folds": 2, "repeats": 1, "executor": "serial", "test_share": 0.4}
    return Plan((Stage("orders", first), Stage("numbers", second)), out, backbone=str(writer), **{**given, **options})


@pytest.fixture(scope="module")
def done(writer, tmp_path_factory):
    """Stopped when the second stage began, and gone on with; with what was fitted, in order."""
    plan, fits, whole = plan_of(writer, tmp_path_factory.mktemp("stages") / "out"), [], running.fit

    def stopped_once(dataset, settings, **options):
        fits.append(settings.out.name)
        if len(fits) == 2:
            raise KeyboardInterrupt
        return whole(dataset, settings, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(running, "fit", stopped_once)
        with pytest.raises(KeyboardInterrupt):
            run_stages(plan)
        result = run_stages(plan, command="fewtune stages")
    assert fits == ["1-orders", "2-numbers", "2-numbers"], "a finished stage is not done again"
    return plan, result


def bits(result, after, column):
    return result["table"][after]["cells"][column]["bits_per_byte"]["mean"]


def test_every_stage_is_scored_on_all_after_every_stage(done):
    plan, result = done
    assert [row["after"] for row in result["table"]] == ["before", "orders", "numbers"]
    assert [column["name"] for column in result["columns"]] == ["orders", "numbers", "general text"]
    for row in result["table"]:
        for column in ("orders", "numbers"):
            assert {"bits_per_byte", "bleu", "exact_match"} <= set(row["cells"][column])
    assert bits(result, 1, "orders") < bits(result, 0, "orders")
    assert bits(result, 2, "numbers") < bits(result, 1, "numbers")
    held = sides(plan)[0].held_out
    model = load_language_model(plan.folder(2) / "model", precision="float32")
    found = bits_per_byte(ModelWriter(model, model.settle()).costs(held.examples))
    assert found == pytest.approx(bits(result, 2, "orders"), abs=1e-9)


def test_a_stage_begins_with_the_last_ones_weights(done, writer):
    plan, _ = done
    for number, start in ((1, writer), (2, plan.folder(1) / "model")):
        card = json.loads((plan.folder(number) / "model" / "fewtune.json").read_text())
        opened = load_language_model(start, precision="float32")
        assert card["backbone_fingerprint"] == opened.fingerprint
        assert card["recipe"]["backbone"] == str(start)
    row = json.loads((plan.folder(1) / "stage.json").read_text())
    assert row["fingerprint"] == opened.fingerprint, "what was scored is what the next stage begins with"
    # The second stage's own untuned rung costs what the first stage's model does, row by row.
    lines = [json.loads(line) for line in (plan.folder(2) / "runs.jsonl").read_text().splitlines()]
    assert {line["backbone"] for line in lines} == {str(plan.folder(1) / "model")}


def test_the_first_stages_weights_are_what_its_folder_holds(done):
    plan, _ = done
    opened = load_language_model(plan.folder(1) / "model", precision="float32")
    fitted = load_writer(plan.folder(1)).fitted.language_model
    for name, tensor in opened.model.state_dict().items():
        assert torch.equal(tensor, fitted.model.state_dict()[name]), name


def test_the_loss_of_the_first_stage_rises_and_less_so_with_replay(done, writer, tmp_path):
    first, result = done
    risen = bits(result, 2, "orders") - bits(result, 1, "orders")
    assert risen > 0
    shutil.copytree(first.out, tmp_path / "out")  # the first stage has nothing to replay: it is not done again
    plan = plan_of(writer, tmp_path / "out", replay=("earlier",), replay_share=0.4)
    replayed = run_stages(plan)
    assert bits(replayed, 1, "orders") == bits(result, 1, "orders")
    assert bits(replayed, 2, "orders") - bits(replayed, 1, "orders") < risen
    told = json.loads((plan.folder(2) / "result.json").read_text())["replay"]
    assert told["sources"] == [{"name": "orders", "rows": len(sides(plan)[0].train)}]


def test_what_was_lost_is_told(done):
    _, result = done
    change = next(one for one in result["changes"] if one["name"] == "orders")
    assert change["since"] == 1
    assert change["difference"]["mean"] == pytest.approx(
        bits(result, 2, "orders") - bits(result, 1, "orders"), abs=1e-6
    )
    assert change["sentence"].startswith("orders: from ")
    assert result["transfer"]["backward"]["mean"] == pytest.approx(-change["difference"]["mean"], abs=1e-6)
    assert result["transfer"]["forgetting"]["mean"] == pytest.approx(change["difference"]["mean"], abs=1e-6)
    assert result["transfer"]["forward"]["mean"] == pytest.approx(
        bits(result, 0, "numbers") - bits(result, 1, "numbers"), abs=1e-6
    )
    if change["verdict"] == "forgotten":
        assert "worse at orders" in result["verdict"]["sentence"]
        assert "--replay earlier" in result["verdict"]["advice"][0]["do"]
    else:
        assert "nothing earlier was forgotten" in result["verdict"]["sentence"]


def test_a_finished_stage_is_never_done_again(done, monkeypatch):
    plan, result = done
    runs = [(plan.folder(number) / "runs.jsonl").read_text() for number in (1, 2)]

    def nobody(*given, **options):
        raise AssertionError("a finished stage was done again")

    monkeypatch.setattr(running, "fit", nobody)
    monkeypatch.setattr(running, "examined", nobody)
    again = run_stages(plan)
    assert again["table"] == result["table"]
    assert again["transfer"] == result["transfer"]
    assert runs == [(plan.folder(number) / "runs.jsonl").read_text() for number in (1, 2)]


def test_other_rows_or_settings_are_another_stage(done, writer):
    plan, _ = done
    parted = sides(plan)
    keys = [
        running.key_of(one, one.stages[0], side, "before", [])
        for one, side in [
            (plan, parted[0]),
            (plan_of(writer, plan.out, folds=3), parted[0]),
            (plan_of(writer, plan.out, changes=("full.rate=0.02",)), parted[0]),
            (plan, parted[1]),
        ]
    ]
    assert len(set(keys)) == 4
    assert running.key_of(plan_of(writer, plan.out, budget="1h"), plan.stages[0], parted[0], "before", []) == keys[0]


def test_the_page_is_drawn_and_says_it(done):
    plan, result = done
    page = (plan.out / "report.html").read_text(encoding="utf-8")
    assert page == render(json.loads((plan.out / "result.json").read_text()))
    for words in ("After each stage", "Backward transfer", "1-orders/report.html", "Before any stage"):
        assert words in page
    hostile = json.loads(json.dumps(result).replace("orders", "<script>alert(1)</script>"))
    assert "<script>alert" not in render(hostile)
    for part in ("stages", "table", "transfer", "changes", "columns"):
        assert "<h1" in render({key: value for key, value in result.items() if key != part})


def test_folders_of_others_are_left_alone(writer, tmp_path, done):
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(UsageError, match=r"no stages wrote \(notes\.txt\)"):
        run_stages(plan_of(writer, tmp_path))
    plan, _ = done
    kept = (plan.out / "before.json").read_text()
    (plan.out / "before.json").write_text("{", encoding="utf-8")
    with pytest.raises(StoreError, match="is damaged"):
        run_stages(plan)
    (plan.out / "before.json").write_text(kept, encoding="utf-8")


def test_scores_are_of_rows_of_one_prompt_together(done):
    plan, result = done
    held = sides(plan)[0].held_out
    assert result["columns"][0]["rows"] == len(held)
    assert np.isfinite(bits(result, 0, "general text"))
