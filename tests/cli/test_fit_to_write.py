"""`fewtune fit` on rows that are written, from end to end on a tiny random model; and `TextGenerator`."""

import contextlib
import json

import numpy as np
import pytest
from sklearn.base import clone

from fewtune import Example, TextGenerator, load, load_writer
from fewtune.errors import UsageError
from fewtune.report.html import render
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer
from fewtune.testing.writer_toys import writer_toys

TOYS = writer_toys(16)
LIMITS = ["--folds", "2", "--repeats", "1", "--budget", "none", "--executor", "serial"]


def put(path, examples):
    rows = [{"prompt": example.prompt, "completion": example.completion} for example in examples]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama", chat_template=CHAT)


@pytest.fixture(scope="module")
def fitted(writer, tmp_path_factory):
    """A fit with a test file, one row of which also stands in the training file."""
    from fewtune.cli.main import run

    place = tmp_path_factory.mktemp("fit")
    train = put(place / "train.jsonl", TOYS.examples[:12])
    test = put(place / "test.jsonl", [*TOYS.examples[12:], TOYS.examples[0]])
    (place / "probes.txt").write_text("red cat\nthe green dog\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        given = [train, "--backbone", writer, "--method", "lora", "--test", test, "--out", place / "out", *LIMITS]
        given += ["--probe-prompts", place / "probes.txt"]
        patch.setattr("sys.argv", ["fewtune", "fit", *map(str, given)])
        with contextlib.suppress(SystemExit):
            run()
    return place


@pytest.fixture(scope="module")
def result(fitted):
    return json.loads((fitted / "out" / "result.json").read_text())


def test_result_has_the_shape_of_any_other(result):
    assert result["format"] == 1
    assert result["task"] == "generation"
    assert {"source", "rows", "versions", "hardware", "resampling", "verdict", "winner", "ladder", "test"} <= set(
        result
    )
    assert [rung["name"] for rung in result["ladder"]][:3] == ["zero_shot", "few_shot", "lora"]
    assert result["rows"] == 12
    for rung in result["ladder"]:
        assert rung["status"] == "judged"
        for name in ("loss", "bits_per_byte", "bleu", "chrf", "rouge_l", "exact_match"):
            assert set(rung["cv"][name]) == {"mean", "low", "high"}, name
    assert result["ladder"][result["winner"]["rung"]]["name"] == result["winner"]["name"]


def test_every_tuned_rung_is_held_against_both_prompts(result):
    for rung in result["ladder"][2:]:
        for name in ("zero_shot", "few_shot"):
            against = rung[f"against_{name}"]
            assert against["metric"] == "bits_per_byte"
            told = result["ladder"][("zero_shot", "few_shot").index(name)]["cv"]["bits_per_byte"]["mean"]
            assert against["difference"] == pytest.approx(told - rung["cv"]["bits_per_byte"]["mean"], abs=1e-6)


def test_the_verdict_is_what_the_comparisons_say(result):
    assert result["winner"]["name"] == "lora"
    told = [result["verdict"][f"against_{name}"] for name in ("zero_shot", "few_shot")]
    assert all(one["difference"] > 0 for one in told)
    sentence = result["verdict"]["sentence"]
    if any(one["verdict"] == "better" for one in told):
        assert "fewer than" in sentence
    else:
        assert sentence.startswith("These rows cannot tell whether tuning bought anything.")
    assert result["verdict"]["advice"]


def test_the_test_file_is_scored_without_the_rows_that_leak(result):
    test = result["test"]
    assert (test["rows"], test["scored"]) == (5, 4)
    assert [leak["row"] for leak in test["leaks"]] == [5]
    assert test["bits_per_byte"]["mean"] > 0
    assert test["bits_per_byte"]["mean"] == pytest.approx(result["winner"]["cv"]["bits_per_byte"]["mean"], rel=0.5)


def test_answers_stand_side_by_side(result):
    assert result["samples"]
    for sample in result["samples"]:
        assert set(sample["answers"]) == {"zero_shot", "few_shot", "winner"}
        assert sample["completion"]


def test_what_was_forgotten_is_measured_on_general_text_and_on_the_persons_own(result, fitted):
    own, general = sorted(result["forgetting"]["measured"], key=lambda one: one["rows"])
    assert (own["name"], own["rows"], general["name"], general["rows"]) == ("your probe prompts", 2, "general text", 60)
    for one in (own, general):
        change = one["after"]["mean"] - one["before"]["mean"]
        assert one["difference"]["mean"] == pytest.approx(change, abs=1e-6)
        assert one["sentence"] in (fitted / "out" / "report.html").read_text()


def test_training_rows_are_asked_for_again_beside_held_out_ones(result):
    found = result["memorisation"]
    assert (found["training"]["rows"], found["held_out"]["rows"]) == (12, 12)
    assert found["verdict"] in ("memorised", "no sign")
    assert found["training"]["reproduced"]["low"] <= found["training"]["reproduced"]["mean"]
    assert "training completions come back word for word" in found["sentence"]


def test_the_page_shows_ladder_and_answers(fitted, result):
    page = (fitted / "out" / "report.html").read_text()
    assert "Answers side by side" in page
    assert "Bits per byte" in page
    assert "Asked with examples" in page
    assert page == render(result)
    hostile = json.loads(json.dumps(result).replace("The Mill", "<script>alert(1)</script>"))
    assert "<script>alert" not in render(hostile)


@pytest.mark.parametrize("part", ["forgetting", "memorisation", "samples", "test", "selection", "data", "resampling"])
def test_the_page_is_drawn_without_any_part(result, part):
    assert "<h1" in render({key: value for key, value in result.items() if key != part})


def test_the_model_folder_costs_what_the_test_said(fitted, result):
    model = load_writer(fitted / "out")
    found = model.costs(TOYS.examples[12:])
    bits = found.nll.sum() / (np.log(2) * found.bytes.sum())
    assert bits == pytest.approx(result["test"]["bits_per_byte"]["mean"], rel=1e-4)
    assert len(model.write(["name[The Mill]", Example("name[red cat]")])) == 2
    assert model.write([]) == []


def test_each_kind_of_folder_says_how_to_open_it(fitted):
    with pytest.raises(UsageError, match="holds a model that writes"):
        load(fitted / "out")


def test_the_same_command_again_computes_no_run_again(fitted, writer, fewtune, result):
    before = (fitted / "out" / "runs.jsonl").read_text()
    answer = fewtune(
        *("fit", fitted / "train.jsonl", "--backbone", writer, "--method", "lora", "--out", fitted / "out"),
        *(*LIMITS, "--json"),
    )
    assert answer.code == 0, answer.err
    again = json.loads(answer.out)
    assert (fitted / "out" / "runs.jsonl").read_text() == before
    assert again["winner"]["cv"] == result["winner"]["cv"]


def test_the_screen_says_the_verdict_and_shows_answers(fitted, writer, fewtune):
    answer = fewtune(
        *("fit", fitted / "train.jsonl", "--backbone", writer, "--method", "lora", "--out", fitted / "out", *LIMITS)
    )
    assert answer.code == 0
    assert "Bits/byte" in answer.out
    assert "bits per byte" in answer.out
    assert "Asked without examples" in answer.out
    assert "On general text (60 rows)" in answer.out
    assert "come back word for word" in answer.out
    assert "Task: generation" in (fitted / "out" / "result.json").read_text()


def test_seq2seq_models_are_tuned_by_the_same_command(fewtune, tmp_path):
    place = make_tiny_writer(tmp_path / "t5", "t5")
    rows = put(tmp_path / "rows.jsonl", TOYS.examples[:6])
    answer = fewtune(
        *("fit", rows, "--backbone", place, "--method", "top_layers", "--out", tmp_path / "out", *LIMITS, "--json")
    )
    assert answer.code == 0, answer.err
    assert json.loads(answer.out)["winner"]["name"] == "top_layers"
    assert load_writer(tmp_path / "out").costs(TOYS.examples[:2]).nll.shape == (2,)


def test_plain_texts_are_language_modelling(fewtune, writer, tmp_path):
    path = tmp_path / "texts.jsonl"
    path.write_text("\n".join(json.dumps({"text": example.completion}) for example in TOYS))
    answer = fewtune(
        *("fit", path, "--backbone", writer, "--method", "lora", "--out", tmp_path / "out", *LIMITS, "--json")
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["task"] == "language_modelling"
    assert {rung["name"] for rung in found["ladder"]} == {"zero_shot", "lora"}
    assert "bleu" not in found["winner"]["cv"]
    assert found["samples"] == []


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("a", "b"), ("c", ""), ("d", "e"), ("f", "g")], "row 2: The completion is empty"),
        ([("a", "b"), ("c", "d")], "2 rows are too few"),
        ([("a", "b")] * 4, "completions are the same"),
    ],
)
def test_bad_rows_end_with_one_clear_line(fewtune, writer, tmp_path, rows, said):
    path = put(tmp_path / "rows.jsonl", [Example(prompt, completion=completion) for prompt, completion in rows])
    answer = fewtune("fit", path, "--backbone", writer, "--out", tmp_path / "out", *LIMITS)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_backbone_that_writes_nothing_is_refused(fewtune, tiny_folders, tmp_path):
    path = put(tmp_path / "rows.jsonl", TOYS.examples[:4])
    answer = fewtune("fit", path, "--backbone", tiny_folders("bert"), "--out", tmp_path / "out", *LIMITS)
    assert answer.code == 1
    assert "writes nothing" in answer.err


def test_methods_are_those_of_the_task(fewtune, writer, tmp_path):
    path = put(tmp_path / "rows.jsonl", TOYS.examples[:4])
    answer = fewtune("fit", path, "--backbone", writer, "--method", "probe", "--out", tmp_path / "out", *LIMITS)
    assert answer.code == 2
    assert "There is no method called 'probe'. Known: zero_shot, few_shot" in answer.err


def test_rows_longer_than_the_context_are_cut_and_it_is_said(fewtune, writer, tmp_path):
    long = [Example(f"{n} " + "red cat " * 600, completion=f"one {n}") for n in range(2)]
    path = put(tmp_path / "rows.jsonl", [*TOYS.examples[:4], *long])
    answer = fewtune(
        *("fit", path, "--backbone", writer, "--method", "zero_shot", "--out", tmp_path / "out", *LIMITS, "--json")
    )
    assert answer.code == 0, answer.err
    found = json.loads(answer.out)
    assert found["verdict"]["sentence"].startswith("No tuned model was judged"), "nothing is said of what was not tried"
    notes = found["data"]["notes"]
    assert any("2 prompts are longer than the context of 512 tokens" in note for note in notes)


def test_the_generator_is_one_of_scikit_learns(writer):
    generator = TextGenerator(str(writer), methods=["lora"], folds=2, repeats=1, executor="serial")
    assert clone(generator).get_params() == generator.get_params()
    assert generator.set_params(folds=3).folds == 3
    generator.set_params(folds=2)
    prompts, completions = [one.prompt for one in TOYS], [one.completion for one in TOYS]
    generator.fit(prompts[:8], completions[:8])
    assert len(generator.predict(prompts[8:10])) == 2
    assert generator.score(prompts[8:], completions[8:]) < 0
    assert generator.ladder_ == generator.result_["ladder"]


def test_the_generator_refuses_what_it_cannot_mean(writer):
    generator = TextGenerator(str(writer))
    with pytest.raises(UsageError, match="y has 1 entries for 2 prompts"):
        generator.fit(["a", "b"], ["c"])
    with pytest.raises(UsageError, match="X is one string"):
        generator.fit("ab", ["c"])
    with pytest.raises(UsageError, match=r"y\[1\] is of type int"):
        generator.fit(["a", "b"], ["c", 3])
