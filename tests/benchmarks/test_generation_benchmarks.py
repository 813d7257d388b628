"""The benchmarks of models that write: same rows and batches for everybody, kept cells, loss and bars as they say."""

import argparse
import importlib
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.methods.base import Writer, Written
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.testing.tiny_writers import make_tiny_writer

FOLDER = Path(__file__).parents[2] / "benchmarks" / "generation"
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
"""As the starter's: nothing behind an answer's end."""
ROWS = [
    {"prompt": f"inform(name=joe{row};food=kind{row % 5})", "completion": f"joe{row} has kind{row % 5} food"}
    for row in range(30)
]


@pytest.fixture(scope="module")
def bench():
    """`bench("sft")`: a script of the folder as a module, its name free again afterwards."""
    before = set(sys.modules)
    sys.path.insert(0, str(FOLDER))
    yield importlib.import_module
    sys.path.remove(str(FOLDER))
    for name in {"cells", "sft", "restaurant", "methods"} - before:
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = make_tiny_writer(tmp_path_factory.mktemp("tiny") / "llama", "llama", chat_template=CHAT)
    return load_language_model(folder, precision="float32")


class Echo(Writer):
    """Writes what it is told to."""

    def __init__(self, said):
        self.said = said

    def costs(self, examples):
        ones = np.ones(len(examples))
        return Written(ones, ones.astype(np.int64), np.full(len(examples), 8, dtype=np.int64))

    def write(self, examples, settings=None):
        return [self.said[example.prompt] for example in examples]

    def save(self, folder):
        raise NotImplementedError


def test_draws_are_different_rows_and_the_same_each_time(bench):
    drawn = bench("cells").drawn
    assert drawn(ROWS, 10, 0) == drawn(ROWS, 10, 0)
    assert drawn(ROWS, 10, 0) != drawn(ROWS, 10, 1)
    assert len({row["prompt"] for row in drawn(ROWS, 30, 2)}) == 30


def test_what_is_finished_is_kept_and_other_settings_are_refused(bench, tmp_path, capsys):
    cells = bench("cells").Cells
    cells(tmp_path / "out.json", {"rows": 5}).keep("a", {"loss": 1.0})
    again = cells(tmp_path / "out.json", {"rows": 5})
    assert "a" in again
    assert "b" not in again
    assert again["a"] == {"loss": 1.0}
    with pytest.raises(SystemExit):
        cells(tmp_path / "out.json", {"rows": 6})
    assert "rows" in capsys.readouterr().out


@pytest.mark.parametrize("script", ["sft", "restaurant", "methods"])
def test_without_data_it_says_so_and_is_no_failure(bench, script, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [f"{script}.py", str(tmp_path / "nowhere"), "--out", str(tmp_path / "out.json")])
    with pytest.raises(SystemExit) as left:
        bench(script).main()
    assert not left.value.code
    assert "skipped" in capsys.readouterr().out
    assert not (tmp_path / "out.json").exists()


def test_the_judge_asks_each_prompt_once_and_counts_slots(bench):
    twice = [*ROWS[:6], {**ROWS[0], "completion": "kind0 food at joe0"}]
    judge = bench("cells").Judge(twice, ROWS, prompts=6)
    assert len(judge.asked.prompts) == 6
    assert judge.asked.references[0] == ("joe0 has kind0 food", "kind0 food at joe0")
    right = judge.scores(Echo({row["prompt"]: row["completion"] for row in ROWS}))
    wrong = judge.scores(Echo({row["prompt"]: "what is that" for row in ROWS}))
    assert right["bleu"]["mean"] == pytest.approx(100)
    assert right["slot_error"]["mean"] == 0
    assert wrong["bleu"]["mean"] < 5
    assert wrong["slot_error"]["mean"] == 1
    assert right["bits_per_byte"] == pytest.approx(1 / np.log(2) / 8, abs=1e-4)


def test_everybody_gets_the_batches_that_the_engine_draws(bench, model):
    sft, cells = bench("sft"), bench("cells")
    job = sft.Job(ROWS, ROWS[:2], str(model.folder), seed=3, epochs=2, rate=1e-3, batch_size=8)
    method = LoRAWriter(rate=1e-3, epochs=2, batch_size=8, spare=0.0)
    tunable = method.build(cells.material_of(ROWS, model, seed=3))
    theirs = [batch.tolist() for batch in tunable.batches(np.random.default_rng(3))]
    assert list(sft.batches(job)) == theirs
    assert len(theirs) == job.steps


def test_the_judged_loss_is_the_one_that_fewtune_says(bench, model):
    from transformers import AutoModelForCausalLM

    sft, cells = bench("sft"), bench("cells")
    own = ZeroShotPrompt().fit(cells.material_of(ROWS, model, seed=0)).costs(cells.examples_of(ROWS[:4]))
    plain = AutoModelForCausalLM.from_pretrained(model.folder, dtype="float32")
    judged = sft.judged(plain, model.tokenizer, ROWS[:4])
    assert judged == pytest.approx(float(own.nll.sum() / own.tokens.sum()), rel=1e-4)


def test_the_bars_are_counted_by_draw_and_on_the_mean(bench, tmp_path):
    cells = bench("cells").Cells(tmp_path / "out.json", {})

    def scored(bleu, slots):
        return {"bleu": {"mean": bleu}, "slot_error": {"mean": slots}}

    for key, cell in {
        "0 zero_shot": scored(2.0, 0.9),
        "0 few_shot": scored(10.0, 0.6),
        "0 lengths": {"chosen": "12 exchanged", "winner": "lora"},
        "0 lora 6": scored(30.0, 0.4),
        "0 lora 12 exchanged": scored(40.0, 0.2),
        "0 lora 24 exchanged": scored(40.3, 0.2),
        "1 lengths": {"chosen": "12", "winner": "lora"},
        "2 zero_shot": scored(2.0, 0.9),
        "2 few_shot": scored(3.0, 0.9),
        "2 lengths": {"chosen": None, "winner": "zero_shot"},
        "2 lora 6": scored(4.0, 0.9),
    }.items():
        cells.keep(key, cell)
    lost = bench("restaurant").verdict(cells, [2])
    assert lost["mean"]["gain"] == pytest.approx(-1)
    assert not any(lost["held"].values())
    found = bench("restaurant").verdict(cells, [0, 1])
    assert [line["draw"] for line in found["draws"]] == [0]
    assert found["mean"]["gain"] == pytest.approx(30)
    assert found["mean"]["bleu_below_best"] == pytest.approx(0.3)
    assert found["held"] == {"gain": True, "slot_error": True, "epochs": True}


def test_settings_of_the_ladder_are_trained_again_by_their_names(bench):
    restaurant = bench("restaurant")
    for one in ("6", "12 exchanged"):
        assert restaurant.setting(restaurant.method_of(one)) == one
    assert restaurant.one_more(["6", "6 exchanged", "12 exchanged"], "12 exchanged") == "24 exchanged"
    assert restaurant.one_more(["6", "6 exchanged", "12", "3"], "6") == "24"
    assert restaurant.one_more(["6", "12"], None) == "24"


def test_a_rate_is_looked_for_on_either_side_until_it_gets_worse(bench, monkeypatch):
    methods = bench("methods")
    options, asked = argparse.Namespace(epochs=6.0), []

    def loss_at(name, rate, cells, options):
        asked.append(rate)
        return abs(np.log10(rate) - np.log10(1e-2))

    monkeypatch.setattr(methods, "method_of", lambda name, options: LoRAWriter(rate=1e-3))
    monkeypatch.setattr(methods, "loss_at", loss_at)
    assert methods.rate_of("lora", {}, options) == pytest.approx(1e-2)
    assert asked == [1e-3, 3.2e-3, 1e-2, 3.2e-2]
    monkeypatch.setattr(methods, "loss_at", lambda *_: "no biases")
    assert methods.rate_of("lora", {}, options) == "no biases"


def test_the_table_keeps_who_was_refused_and_who_lost(bench, tmp_path):
    methods = bench("methods")
    cells = bench("cells").Cells(tmp_path / "out.json", {})
    common = {"rate": None, "seconds": {"fit": 1.0}, "peak_memory_mib": 5.0, "forgetting": {}}
    scores = {"bleu": {"mean": 1.0}, "slot_error": {"mean": 0.5}, "trainable_parameters": 0}
    for name, loss in {"zero_shot": 3.0, "lora": 2.0, "full": 4.0}.items():
        cells.keep(f"report {name}", {**common, **scores, "title": name, "loss": loss})
    cells.keep("report bitfit", {"refused": "no biases"})
    lines = methods.table(cells).splitlines()
    assert any("bitfit" in line and "no biases" in line for line in lines)
    assert any(line.startswith("| lora") and line.endswith("| yes |") for line in lines)
    assert any(line.startswith("| full") and line.endswith("| no |") for line in lines)
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["cells"]["report bitfit"]
