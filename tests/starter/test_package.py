"""The packaged weights; skipped where they are absent or Git LFS-like pointers stand in for them."""

import json
import re
from pathlib import Path

import export
import pretrain
import pytest
import torch
from fewtune_starter import path
from scoring import bits_per_byte, log2_probs
from test_pretrain import SETTINGS, tokens

STARTER = Path(__file__).parents[2] / "starter"
WEIGHTS = path() / "model.safetensors"
packaged = pytest.mark.skipif(not WEIGHTS.exists(), reason=f"no {WEIGHTS.name} in the starter's package: not exported")


@pytest.fixture(scope="module")
def starter():
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(path(), dtype=torch.float32, local_files_only=True).eval()
    return model, AutoTokenizer.from_pretrained(path(), local_files_only=True)


@pytest.fixture(scope="module")
def evaluation():
    return json.loads((STARTER / "evaluation.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def own_text_bits(starter):
    model, tokenizer = starter
    text = (STARTER / "own_text.txt").read_text(encoding="utf-8").strip()
    return bits_per_byte(log2_probs(model, tokenizer(text + tokenizer.eos_token)["input_ids"]), len(text.encode()))


@packaged
def test_a_text_of_our_own_has_the_bits_that_the_evaluation_states(own_text_bits, evaluation):
    assert own_text_bits == pytest.approx(evaluation["own_text"]["starter"], abs=0.02)  # there in bf16, here in float32


@packaged
def test_it_beats_the_ngram_on_a_text_of_our_own(own_text_bits, evaluation):
    # Not on the held-out books yet: starter/MODEL_CARD.md.
    assert own_text_bits < evaluation["own_text"]["ngram"]


@packaged
def test_it_is_small_and_its_shape_is_the_settings(starter):
    model, tokenizer = starter
    assert sum(file.stat().st_size for file in path().iterdir()) <= export.LARGEST
    settings = json.loads((STARTER / "settings.json").read_text(encoding="utf-8"))
    assert {name: getattr(model.config, name) for name in settings["model"] if name != "rope_theta"} == {
        name: value for name, value in settings["model"].items() if name != "rope_theta"
    }
    assert len(tokenizer) == model.config.vocab_size == 8_192
    assert model.config.tie_word_embeddings


@packaged
def test_it_holds_no_pickle_and_no_code():
    assert {file.suffix for file in path().iterdir()} <= {".json", ".safetensors", ".jinja"}


@packaged
def test_it_answers_and_stops_in_the_chat_template(starter):
    model, tokenizer = starter
    inputs = tokenizer.apply_chat_template(
        [{"role": "user", "content": "Is this review positive or negative? I loved every minute of it."}],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    written = model.generate(**inputs, max_new_tokens=40, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert tokenizer.eos_token_id in written.tolist()


@packaged
def test_the_card_states_the_measured_numbers(evaluation):
    card = (STARTER / "MODEL_CARD.md").read_text(encoding="utf-8")
    together = evaluation["held_out_books"]
    for number in (together["starter"], together["ngram"]):
        assert f"{number:.3f}" in card
    for opening, written in evaluation["samples"].items():
        assert opening in card
        assert re.sub(r"\s+", " ", written).strip() in re.sub(r"\s+", " ", card.replace("\n> ", "\n"))


def test_an_exported_model_is_the_checkpoint_in_bf16(tmp_path):
    from transformers import AutoModelForCausalLM

    run = pretrain.Training(SETTINGS, {"a": tokens(), "b": tokens()}, {"a": tokens()}, tmp_path / "run")
    run.step()
    run.save()
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{}")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old.json").write_text("{}")
    (found,) = export.checkpoint.steps(run.folder)
    export.export(found, SETTINGS, tmp_path / "tokenizer", tmp_path / "out")
    assert not (tmp_path / "out" / "old.json").exists()
    opened = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    assert opened.dtype == torch.bfloat16
    for name, parameter in opened.named_parameters():
        assert torch.equal(parameter, run.weights[name].to(torch.bfloat16)), name
    assert opened.generation_config.eos_token_id == 2


def line(tokens_seen, **values):
    return {"step": tokens_seen // 10, "stage": "stable", "tokens": tokens_seen, "seconds": 1.0, **values}


def test_what_a_killed_run_did_twice_is_in_the_log_once(tmp_path):
    first, second = tmp_path / "run", tmp_path / "run-decay"
    for folder, lines in (
        (
            first,
            [
                line(10, loss=3.0),
                line(20, loss=2.5),
                line(30, loss=2.2),
                line(20, loss=2.4),
                line(25, validation_loss=2),
            ],
        ),
        (second, [line(30, loss=2.0)]),
    ):
        folder.mkdir()
        (folder / "log.jsonl").write_text("".join(json.dumps(each) + "\n" for each in lines))
    lines = export.read_log([first, second])
    assert [each.get("loss", each.get("validation_loss")) for each in lines] == [3.0, 2.4, 2, 2.0]
    export.plot(lines, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").stat().st_size > 5_000
