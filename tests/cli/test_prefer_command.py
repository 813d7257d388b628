"""`fewtune prefer` from end to end on a tiny random model, `TextGenerator.prefer`, and what neither can mean."""

import contextlib
import io
import json
import shutil

import pytest

from fewtune import TextGenerator, load_writer
from fewtune.backbones.language.load import load_language_model
from fewtune.methods.generation.base import ModelWriter
from fewtune.methods.generation.few_shot import FewShotPrompt
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.prompt_tuning import PromptTuningWriter
from fewtune.recipe import Recipe
from fewtune.report.html import render
from fewtune.testing.preference_toys import preference_toys
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer
from fewtune.writer_folder import WritingModel, save_writer

TOYS, SHUFFLED = preference_toys(40), preference_toys(24, shuffled=True)
LIMITS = ["--folds", "4", "--repeats", "1", "--budget", "none", "--executor", "serial", "--quiet"]
FEWER = [*LIMITS, "--folds", "2"]
QUICK = ["--method", "dpo", "--set", "dpo.rate=1e-2", "--set", "dpo.epochs=0.5"]


def put(path, examples):
    rows = [{"prompt": one.prompt, "chosen": one.completion, "rejected": one.rejected} for one in examples]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def written(folder, model, method):
    """A fit's folder, as a fit would have left it."""
    recipe = Recipe(method, model.name, model.settle())
    save_writer(WritingModel(ModelWriter(model, model.settle()), recipe), folder / "model")
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama", chat_template=CHAT)
    return load_language_model(folder, precision="float32")


@pytest.fixture(scope="module")
def first(model, tmp_path_factory):
    return written(tmp_path_factory.mktemp("first") / "fit", model, LoRAWriter())


def called(*arguments):
    from fewtune.cli.main import run

    with pytest.MonkeyPatch.context() as patch, contextlib.suppress(SystemExit):
        patch.setattr("sys.argv", ["fewtune", "prefer", *map(str, arguments)])
        run()


@pytest.fixture(scope="module")
def preferred(first, tmp_path_factory):
    """A second stage with a test file, one prompt of which also stands among the preferences."""
    place = tmp_path_factory.mktemp("prefer")
    rows = put(place / "rows.jsonl", TOYS.examples[:28])
    test = put(place / "test.jsonl", [*TOYS.examples[28:], TOYS.examples[0]])
    called(first, rows, *QUICK, "--test", test, "--out", place / "out", *LIMITS)
    return place / "out"


@pytest.fixture(scope="module")
def result(preferred):
    return json.loads((preferred / "result.json").read_text())


def test_what_can_be_learned_is_kept_and_the_verdict_says_by_how_much(result):
    verdict = result["verdict"]
    assert (result["task"], result["winner"]["name"]) == ("preference", "dpo")
    assert verdict["against_first"]["verdict"] == "better"
    assert verdict["tried"]["accuracy"]["mean"] >= verdict["first"]["accuracy"]["mean"] + 0.25
    assert "better, by" in verdict["sentence"]
    assert "bits per byte" in verdict["sentence"]


def test_every_candidate_is_held_against_the_first_stage_in_both(result):
    assert [rung["name"] for rung in result["ladder"]][:2] == ["first_stage", "dpo"]
    for rung in result["ladder"][1:]:
        assert rung["against_first"]["other"] == "first_stage"
        assert rung["loss_against_first"]["metric"] == "bits_per_byte"
        assert {"accuracy", "reward_accuracy", "margin", "loss", "bits_per_byte"} <= set(rung["cv"])
        assert rung["recipe"]["settings"]["beta"] == 0.1
    assert "reward_accuracy" not in result["ladder"][0]["cv"]


def test_what_was_forgotten_is_measured_and_samples_stand_side_by_side(result):
    assert result["forgetting"]["measured"][0]["name"] == "general text"
    assert set(result["samples"][0]["answers"]) == {"first_stage", "winner"}
    assert result["versions"]["trl"]


def test_the_test_file_is_scored_for_both_models_without_the_prompt_that_leaked(result):
    test = result["test"]
    assert (test["rows"], test["scored"], len(test["leaks"])) == (13, 12, 1)
    assert test["accuracy"]["mean"] > test["first"]["accuracy"]["mean"]
    assert test["against_first"]["verdict"]


def test_the_page_shows_it(result, preferred):
    page = (preferred / "report.html").read_text()
    assert page == render(result)
    for words in ("The first stage as it is", "The test file", "Answers side by side", "What did it forget?"):
        assert words in page


def test_the_terminal_tells_it(result):
    from rich.console import Console

    from fewtune.report import preferred_terminal

    console = Console(width=120, record=True, file=io.StringIO())
    console.print(preferred_terminal.ladder_table(result), preferred_terminal.summary(result))
    told = console.export_text()
    assert "On the test file: better answer found" in told
    assert "What to do next" in told


def test_the_folder_opens_and_its_adapter_is_one_of_peft(preferred, first):
    config = json.loads((preferred / "model" / "adapter" / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"]) == ("LORA", 16)
    prompts = [TOYS.examples[0].prompt]
    tuned, before = load_writer(preferred), load_writer(first)
    assert isinstance(tuned.write(prompts)[0], str)
    assert tuned.costs(TOYS.examples[:4]).nll.tolist() != before.costs(TOYS.examples[:4]).nll.tolist()


def test_generate_answers_from_it(preferred, fewtune):
    answer = fewtune("generate", preferred, "name[The Mill]", "--max-new-tokens", 5)
    assert answer.code == 0, answer.err


def test_what_cannot_be_learned_is_said_plainly_and_the_first_stage_kept(first, tmp_path, fewtune):
    rows = put(tmp_path / "rows.jsonl", SHUFFLED.examples)
    answer = fewtune("prefer", first, rows, *QUICK, "--out", tmp_path / "out", *FEWER)
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert answer.code == 0, answer.err
    assert result["winner"]["name"] == "first_stage"
    assert result["verdict"]["against_first"]["verdict"] == "cannot be told apart"
    assert "bought nothing" in result["verdict"]["sentence"]
    assert "The first stage is kept." in " ".join(answer.out.split())
    kept, before = load_writer(tmp_path / "out"), load_writer(first)
    examples = SHUFFLED.examples[:3]
    assert kept.costs(examples).nll.tolist() == pytest.approx(before.costs(examples).nll.tolist())
    assert result["samples"] == []
    assert "report.html" in answer.out


def test_the_same_command_goes_on_and_computes_nothing_again(first, preferred, tmp_path, monkeypatch):
    import fewtune.tune.loop as loop

    runs, train = [], loop.train
    monkeypatch.setattr(loop, "train", lambda *args, **more: runs.append(1) or train(*args, **more))
    rows = preferred.parent / "rows.jsonl"
    again = shutil.copytree(preferred, tmp_path / "again")
    called(first, rows, *QUICK, "--out", again, *LIMITS)
    assert len(runs) == 1  # the model that is kept, fitted on all rows


def test_a_generator_has_a_second_stage(first, tmp_path):
    writer = TextGenerator(folds=2, repeats=1, executor="serial", general=["red cat"])
    writer.model_, writer.result_ = load_writer(first), {"seed": 0}
    rows = [{"prompt": one.prompt, "chosen": one.completion, "rejected": one.rejected} for one in TOYS.examples[:10]]
    found = writer.prefer(rows, methods=["dpo"], changes=["dpo.rate=1e-2", "dpo.epochs=0.5"], out=tmp_path / "out")
    assert found is not writer
    assert found.result_["task"] == "preference"
    assert [rung["name"] for rung in found.ladder_][:2] == ["first_stage", "dpo"]
    assert len(found.predict(["name[The Mill]"])) == 1
    assert (tmp_path / "out-first-stage" / "fewtune.json").exists()


@pytest.mark.parametrize("method", [FewShotPrompt(), PromptTuningWriter()], ids=lambda method: method.name)
def test_first_stages_that_cannot_be_gone_on_from(method, model, tmp_path, fewtune):
    folder = written(tmp_path / "first", model, method)
    answer = fewtune("prefer", folder, put(tmp_path / "rows.jsonl", TOYS.examples[:8]), *LIMITS)
    assert answer.code == 2
    assert "Fit again with --method lora" in answer.err


def test_a_classifier_is_no_first_stage(result_folder, tmp_path, fewtune):
    answer = fewtune("prefer", result_folder, put(tmp_path / "rows.jsonl", TOYS.examples[:8]), *LIMITS)
    assert answer.code == 2
    assert "classifier" in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--method", "ppo"], "no method called 'ppo'"),
        (["--set", "dpo.gamma=1"], "has no setting 'gamma'"),
        (["--set", "kto.batch_size=1", "--method", "kto"], "2 answers or more"),
        (["--test", "nowhere.jsonl"], "no such file"),
        (["--folds", "1"], "folds must be"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_work(options, said, first, tmp_path, fewtune):
    rows = put(tmp_path / "rows.jsonl", TOYS.examples[:8])
    answer = fewtune("prefer", first, rows, *options, "--out", tmp_path / "out", "--quiet")
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


@pytest.mark.parametrize("inside", ["", "model"])
def test_the_first_stage_is_never_written_over(inside, first, tmp_path, fewtune):
    rows = put(tmp_path / "rows.jsonl", TOYS.examples[:8])
    answer = fewtune("prefer", first / inside, rows, *LIMITS, "--out", first)
    assert answer.code == 2
    assert "would be lost" in answer.err


def test_a_fault_in_a_row_is_named(first, tmp_path, fewtune):
    rows = tmp_path / "rows.jsonl"
    put(rows, TOYS.examples[:8])
    with rows.open("a") as file:
        file.write('\n{"prompt": "one", "chosen": "two", "rejected": "two"}')
    answer = fewtune("prefer", first, rows, *LIMITS)
    assert answer.code == 2
    assert f"{rows}, row 9" in answer.err


def test_single_answers_are_for_kto_alone(first, tmp_path, fewtune):
    rows = tmp_path / "rows.jsonl"
    single = preference_toys(8, single=True)
    told = [{"prompt": one.prompt, "completion": one.completion, "label": one.label == "wanted"} for one in single]
    rows.write_text("\n".join(map(json.dumps, told)))
    answer = fewtune("prefer", first, rows, "--method", "dpo", *LIMITS, "--out", tmp_path / "out")
    assert answer.code == 2
    assert "Take kto." in answer.err


def test_from_a_model_as_it_was_published_orpo_alone_is_tried(model, tmp_path, fewtune):
    rows = put(tmp_path / "rows.jsonl", TOYS.examples[:8])
    quick = ["--set", "orpo.epochs=0.5", "--set", "orpo.rate=1e-2"]
    answer = fewtune("prefer", model.folder, rows, *quick, "--out", tmp_path / "out", *FEWER, "--json")
    assert answer.code == 0, answer.err
    assert {rung["name"] for rung in json.loads(answer.out)["ladder"]} == {"first_stage", "orpo"}
