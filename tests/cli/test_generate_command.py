"""`fewtune generate` as a person calls it: prompts from everywhere, answers to everywhere, and what cannot be meant."""

import io
import json
import sys

import pandas as pd
import pytest
from cli_child import Child

from fewtune.testing.tiny_writers import CHAT, make_tiny_writer

FEW = ("--max-new-tokens", "8")


@pytest.fixture(scope="session")
def llama(tmp_path_factory):
    folder = tmp_path_factory.mktemp("writers") / "llama"
    return make_tiny_writer(folder, "gpt2", chat_template=CHAT)


@pytest.fixture(scope="session")
def t5(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writers") / "t5", "t5")


@pytest.fixture
def typed(monkeypatch):
    """`typed("text")`: what stands on standard input."""

    def put(text):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode())))

    return put


def test_one_prompt_one_answer(fewtune, llama):
    from fewtune.generating import generate, open_model

    answer = fewtune("generate", llama, "red", "--max-new-tokens", "9", "--temperature", "1", "--seed", "3")
    assert answer.code == 0, answer.err
    from fewtune.backbones.decoding.settings import Decoding

    wanted = generate(open_model(llama), "red", settings=Decoding(9, temperature=1.0, seed=3))
    assert answer.out == wanted[0].text + "\n"


def test_streamed_it_is_the_same(fewtune, llama):
    options = ["--temperature", "1", *FEW]
    assert (
        fewtune("generate", llama, "red", "--stream", *options).out == fewtune("generate", llama, "red", *options).out
    )


def test_several_prompts_stand_above_their_answers(fewtune, llama):
    answer = fewtune("generate", llama, "red", "green " * 40, *FEW)
    assert answer.out.count("> ") == 2
    assert "…" in answer.out


def test_json_lines(fewtune, llama):
    answer = fewtune("generate", llama, "red", "green", "--json", *FEW)
    rows = [json.loads(line) for line in answer.out.splitlines()]
    assert [row["prompt"] for row in rows] == ["red", "green"]
    assert all(row["finish"] in ("end", "stop", "length") and row["tokens"] <= 8 for row in rows)


def test_standard_input_is_one_prompt_or_one_a_line(fewtune, llama, typed):
    typed("red\ngreen\n")
    assert json.loads(fewtune("generate", llama, "--json", *FEW).out)["prompt"] == "red\ngreen"
    typed("red\n\ngreen\n")
    rows = fewtune("generate", llama, "-", "--lines", "--json", *FEW).out.splitlines()
    assert [json.loads(row)["prompt"] for row in rows] == ["red", "green"]
    typed(" \n")
    assert "no text" in fewtune("generate", llama, "--lines").err


@pytest.mark.parametrize("ending", [".csv", ".jsonl", ".parquet"])
def test_a_file_in_a_file_out(fewtune, llama, tmp_path, ending):
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"id": f"a{n}", "prompt": f"red {n}", "completion": "one"}) + "\n" for n in (1, 2))
    )
    out = tmp_path / f"answers{ending}"
    answer = fewtune("generate", llama, rows, "--out", out, *FEW)
    assert answer.code == 0, answer.err
    assert "2 answers written" in answer.err
    assert answer.out == ""
    readers = {".csv": pd.read_csv, ".jsonl": lambda path: pd.read_json(path, lines=True), ".parquet": pd.read_parquet}
    table = readers[ending](out)
    assert list(table.columns) == ["row", "id", "prompt", "reference", "answer", "finish", "tokens"]
    assert list(table["prompt"]) == ["red 1", "red 2"]
    assert list(table["reference"]) == ["one", "one"]


def test_the_file_that_is_read_is_not_written_over(fewtune, llama, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"prompt": "red", "completion": "one"}\n')
    answer = fewtune("generate", llama, rows, "--out", rows)
    assert answer.code == 2
    assert "is the file that is read" in answer.err


def test_conversations_of_a_file_are_gone_on_with(fewtune, llama, tmp_path):
    turns = [{"role": "user", "content": "red"}, {"role": "assistant", "content": "one"}]
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"messages": [*turns, {"role": "user", "content": "green"}]}) + "\n")
    answer = fewtune("generate", llama, rows, "--json", *FEW)
    assert answer.code == 0, answer.err


def test_choices_are_scored_and_add_up(fewtune, llama, t5):
    for folder in (llama, t5):
        answer = fewtune("generate", folder, "red", "green", "--choices", "one, two cats,good", "--json")
        for line in answer.out.splitlines():
            row = json.loads(line)
            assert row["answer"] in ("one", "two cats", "good")
            probs = [row[f"p({name})"] for name in ("one", "two cats", "good")]
            assert sum(probs) == pytest.approx(1, abs=1e-5)
            assert row["probability"] == max(probs)
    plain = fewtune("generate", llama, "red", "--choices", "one,two")
    assert plain.out.split("\t")[0] in ("one", "two")


def test_a_model_that_knows_nothing_prefers_short_choices_unless_scored_by_the_token(fewtune, llama):
    long = "The Mill serves Italian food at the riverside."
    shares = []
    for options in ([], ["--per-token"]):
        answer = fewtune("generate", llama, "red", "--choices", f"one,{long}", "--json", *options)
        shares.append(json.loads(answer.out)[f"p({long})"])
    assert shares[0] < 1e-6
    assert shares[1] > 0.1


def test_answers_of_a_schema(fewtune, llama, tmp_path):
    schema = tmp_path / "schema.json"
    schema.write_text(json.dumps({"type": "object", "properties": {"a": {"enum": ["x", "y"]}}, "required": ["a"]}))
    answer = fewtune("generate", llama, "red", "--json-schema", schema, "--max-new-tokens", "60", "--stream")
    assert json.loads(answer.out)["a"] in ("x", "y")


def test_what_is_chosen_is_said_on_standard_error(fewtune, t5):
    answer = fewtune("generate", t5, "red", "--template", "chat", *FEW)
    assert "no chat template" in answer.err
    assert "chat template" not in answer.out


def test_a_prompt_cut_to_the_context_is_said(fewtune, llama):
    answer = fewtune("generate", llama, "red green " * 600, "--no-stream", *FEW)
    assert answer.code == 0
    assert "1 of 1 prompts did not fit the context of 512 tokens" in answer.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--temperature", "-1"], "temperature"),
        (["--top-p", "0"], "top_p"),
        (["--max-new-tokens", "0"], "max_new_tokens"),
        (["--stop", ""], "stop string"),
        (["--choices", "one"], "two or more"),
        (["--choices", "one,,two"], "none empty"),
        (["--choices", "one,two", "--temperature", "1"], "nothing is drawn"),
        (["--per-token"], "--choices"),
        (["--choices", "one,two", "--json-schema", "none.json"], "both"),
        (["--json-schema", "none.json"], "no such file"),
        (["--template", "nothing"], "neither a file nor a layout"),
    ],
)
def test_options_that_cannot_be_meant(fewtune, llama, options, said):
    answer = fewtune("generate", llama, "red", *options)
    assert answer.code == 2
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_a_model_that_is_not_there_and_one_that_writes_nothing(fewtune, tiny_folders, result_folder):
    for name in ("nobody/nothing", "./nothing", "nothing"):
        answer = fewtune("generate", name, "red")
        assert answer.code == 1
        assert "There is no folder" in answer.err
        assert "--backbone" not in answer.err
    assert "writes nothing" in fewtune("generate", tiny_folders("bert"), "red").err
    answer = fewtune("generate", result_folder, "red")
    assert answer.code == 2
    assert "fewtune predict" in answer.err


def test_a_file_among_prompts_is_refused(fewtune, llama, tmp_path):
    (tmp_path / "rows.csv").write_text("text\nred\n")
    answer = fewtune("generate", llama, "red", tmp_path / "rows.csv")
    assert answer.code == 2
    assert "a file among other prompts" in answer.err


@pytest.mark.parametrize("wanted", [0, 1])
def test_a_reader_that_has_enough_is_no_error(llama, tmp_path, wanted):
    """`fewtune generate … | head -1`, in a process of its own; whether it had more to say by then is all the same."""
    child = Child(tmp_path, "generate", llama, *["red"] * 5, "--json", *FEW, piped=True)
    with child.stdout as pipe:
        for _ in range(wanted):
            assert pipe.readline()
    answer = child.ended()
    assert (answer.code, answer.err) == (0, "")
