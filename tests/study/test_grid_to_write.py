"""A grid over the settings of a method that writes: judged by bits per byte, on the runs that a fit would make."""

import dataclasses
import io
import json

import numpy as np
import pytest
from rich.console import Console

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Dataset, Example
from fewtune.data.exchanges import groups_to_write
from fewtune.errors import UsageError
from fewtune.fitting import choose_splits
from fewtune.methods.base import Written
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.recipe import Recipe
from fewtune.report.grid_table import grid_table
from fewtune.searching import study_grid
from fewtune.study import grid
from fewtune.study.evaluator import Evaluator, bits_per_byte
from fewtune.study.settings import Settings
from fewtune.study.store import RunStore, read_lines
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.run import Context, Outcome

TOYS = writer_toys(10)
CHOICES = {"epochs": (1.0,), "least_steps": (2,), "rate": (1e-2, 3e-2)}
BITS = {0.003: 1.0, 0.01: 0.8, 0.03: 1.0005, 10.0: 3.0}
"""What a completion costs a byte at each rate, where costs are given and not computed; the first is the default."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama", tokenizer="word_pieces")


@pytest.fixture(scope="module")
def settings(folder):
    return Settings((str(folder),), folds=2, repeats=1, task="generation")


@pytest.fixture(scope="module")
def kept(settings, tmp_path_factory):
    """A study and the folder it was written to."""
    out = tmp_path_factory.mktemp("grids") / "grid"
    found = study_grid(TOYS, "lora", CHOICES, dataclasses.replace(settings, out=out))
    return found, out


def evaluator_of(folder, settings, store=None, **more):
    models = {str(folder): load_language_model(folder, precision="float32")}
    context = Context(TOYS, {}, groups_to_write(TOYS), language_models=models)
    return Evaluator(context, choose_splits(context, settings), store=store, seed=settings.seed, **more)


def test_settings_are_those_of_the_method_that_writes():
    found = grid.parse("lora", ["rate=1e-3,3e-3", "rank=4,8", "epochs=1,2.5", "lora_dropout=0.1"], "generation")
    assert found == {"rate": (1e-3, 3e-3), "rank": (4, 8), "epochs": (1.0, 2.5), "lora_dropout": (0.1,)}
    with pytest.raises(UsageError, match="no setting called 'class_weights'"):
        grid.parse("lora", ["class_weights=yes"], "generation")
    with pytest.raises(UsageError, match="no method called 'contrastive'"):
        grid.parse("contrastive", ["rate=1"], "generation")


def test_each_is_judged_by_bits_per_byte_and_held_against_the_default(kept, folder, settings):
    found, _ = kept
    assert found["metric"] == "bits_per_byte"
    default, *others = found["candidates"]
    suited = LoRAWriter().suited(load_language_model(folder))
    assert default["settings"] == {"epochs": suited.epochs, "least_steps": suited.least_steps, "rate": suited.rate}
    assert len(others) == 2
    evaluator = evaluator_of(folder, settings, texts=False)
    for one in (default, others[0]):
        judged = evaluator.judge(Recipe.from_json(one["recipe"]))
        pooled = [judged.outcomes[split].written for split in range(one["splits"])]
        nll, size = (sum(getattr(part, name).sum() for part in pooled) for name in ("nll", "bytes"))
        assert one["bits_per_byte"]["mean"] == pytest.approx(nll / size / np.log(2))
        assert one["bits_per_byte"]["low"] < one["bits_per_byte"]["mean"] < one["bits_per_byte"]["high"]
    for one in others:
        if one["splits"] == default["splits"]:
            fewer = default["bits_per_byte"]["mean"] - one["bits_per_byte"]["mean"]
            assert one["against_default"]["difference"] == pytest.approx(fewer)
    json.dumps(found, allow_nan=False)


class Priced(SerialExecutor):
    """Runs whose costs are known beforehand: so many bits a byte at each rate, and what the row adds for everybody."""

    def execute(self, plan, context, *, tick=None):
        for place, run in enumerate(plan):
            size = np.array([len(context.dataset.examples[row].completion) for row in run.test])
            hard = 0.3 * np.sin(np.arange(len(context.dataset)))[run.test]
            rng = np.random.default_rng([run.seed, int(1e6 * run.recipe.method.rate)])
            bits = BITS[run.recipe.method.rate] + hard + rng.normal(0, 0.05, len(size))
            written = Written(bits * size * np.log(2), size, size, None)
            yield place, Outcome(np.zeros((len(size), 0)), 1.0, written=written)


@pytest.fixture(scope="module")
def priced():
    rows = tuple(Example(f"p{n}", id=str(n), row=n, completion="word " * (4 + n % 5)) for n in range(1, 121))
    context = Context(Dataset(rows, task="generation"), {}, list(range(120)))
    evaluator = Evaluator(context, choose_splits(context, Settings(folds=5, repeats=2)), executor=Priced())
    tried = grid.candidates(LoRAWriter(), {"rate": tuple(BITS)[1:]}, backbone="default")
    return grid.judge(evaluator, tried), grid.to_json(grid.judge(evaluator, tried))


def test_what_needs_fewer_bits_is_taken_and_what_fails_is_dropped(priced):
    judged, found = priced
    taken = found["candidates"][found["take"]]
    assert taken["settings"] == {"rate": 0.01}
    assert taken["against_default"]["verdict"] == "better"
    assert taken["against_default"]["difference"] == pytest.approx(0.2, abs=0.02)
    assert found["sentence"].startswith("rate 0.01 is better than the default, by 0.2")
    assert found["sentence"].endswith("bits per byte on these rows.")
    same, wrecked = found["candidates"][2:]
    assert same["against_default"]["verdict"] == "cannot be told apart"
    assert wrecked["dropped"]["after"] == 2
    assert "bits per byte behind the best, more than the 0.2" in wrecked["dropped"]["sentence"]
    assert wrecked["against_default"]["difference"] == pytest.approx(-2, abs=0.05)
    assert found["runs"] < found["runs_of_all"] == 40
    assert judged.choosing.selected == judged.best == found["best"]


def test_what_choosing_is_worth_is_more_bits_than_the_best_seems_to_need(kept):
    found, _ = kept
    choosing = found["choosing"]
    best = found["candidates"][found["best"]]["bits_per_byte"]["mean"]
    assert choosing["naive"] == pytest.approx(best)
    assert choosing["optimism"] == pytest.approx(choosing["bits_per_byte"]["mean"] - choosing["naive"])
    assert choosing["bits_per_byte"]["low"] < choosing["bits_per_byte"]["mean"] < choosing["bits_per_byte"]["high"]
    assert "bits per byte is the best of 3 settings" in choosing["sentence"]


def test_the_table_says_it_in_bits(kept):
    console = Console(width=120, file=io.StringIO())
    console.print(grid_table(kept[0]))
    said = console.file.getvalue()
    assert "Bits/byte" in said
    assert "Bits fewer" in said
    assert "%" not in said.split("Each verdict")[0].replace("95 % interval", "")
    assert f"{kept[0]['candidates'][0]['bits_per_byte']['mean']:.3f}" in said


def test_no_text_is_written_and_the_same_again_computes_nothing(kept, settings):
    found, out = kept
    lines = (out / "runs.jsonl").read_bytes()
    assert study_grid(TOYS, "lora", CHOICES, dataclasses.replace(settings, out=out)) == found
    assert (out / "runs.jsonl").read_bytes() == lines
    assert all("bits_per_byte" in line for line in read_lines(out / "runs.jsonl"))


def test_a_run_whose_texts_were_written_by_a_fit_is_not_made_again(folder, settings, tmp_path):
    model = load_language_model(folder, precision="float32")
    method = dataclasses.replace(LoRAWriter().suited(model), epochs=1.0, least_steps=2)
    recipe = Recipe(method, str(folder), model.settle())
    first = evaluator_of(folder, settings, RunStore(tmp_path)).judge(recipe)
    assert first.outcomes[0].written.texts is not None
    before = len(list(read_lines(tmp_path / "runs.jsonl")))
    again = evaluator_of(folder, settings, RunStore(tmp_path), texts=False).judge(recipe)
    assert len(list(read_lines(tmp_path / "runs.jsonl"))) == before
    for one, other in zip(first.outcomes, again.outcomes, strict=True):
        assert bits_per_byte(one.written) == bits_per_byte(other.written)


def test_texts_alone_are_searched_too(settings):
    texts = [f"{one.completion} {one.prompt}" for one in TOYS]
    rows = tuple(Example(text, id=str(place), row=place) for place, text in enumerate(texts, 1))
    found = study_grid(
        Dataset(rows, task="language_modelling", label_column=None),
        "top_layers",
        {"layers": (1,), "epochs": (1.0,), "least_steps": (2,)},
        dataclasses.replace(settings, task="language_modelling"),
    )
    assert [one["bits_per_byte"] is not None for one in found["candidates"]] == [True] * len(found["candidates"])


def test_what_cannot_be_searched_is_said(settings):
    preferences = Dataset((Example("p", completion="a", rejected="b"),) * 4, task="preference")
    with pytest.raises(UsageError, match=r"fewtune prefer --set dpo\.beta=0\.3"):
        study_grid(preferences, "dpo", {"beta": (0.1, 0.3)}, settings)
    with pytest.raises(UsageError, match="--unlabelled is for rows with classes"):
        study_grid(TOYS, "lora", CHOICES, settings, unlabelled=TOYS)
    with pytest.raises(UsageError, match="no setting called 'rounds'"):
        study_grid(TOYS, "lora", {"rounds": (1, 2)}, settings)
