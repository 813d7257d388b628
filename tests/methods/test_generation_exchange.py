"""Phrases exchanged in training: which rows are met in which pass, and that names nobody has met are copied better."""

import re
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example
from fewtune.data.mixing import Mix, Replayed
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.tuned import NextTokenTunable
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import material_of
from fewtune.tune.loop import train

FIRST = "golden silver quiet happy little broken hidden frozen crimson gentle wandering forgotten".split()  # noqa: SIM905
SECOND = "lion harbour teapot lantern meadow kettle anchor willow sparrow compass thimble bridge".split()  # noqa: SIM905
SAID = ("{} is in the {} quarter", "you will find {} in the {} quarter", "{} stands in the {} quarter of the town")
QUARTERS = ("north", "market", "cathedral", "river", "station", "mill")


def place(number, first, second):
    name, quarter = f"{first} {second}", QUARTERS[number % len(QUARTERS)]
    said = SAID[number % len(SAID)].format(name, quarter)
    return Example(f"inform(name='{name}';quarter={quarter})", completion=said, id=str(number))


ROWS = [place(n, first, second) for n, (first, second) in enumerate(zip(FIRST, SECOND, strict=True))]
GREETING = Example("goodbye()", completion="thank you and goodbye", id="greeting")
UNMET = "velvet canyon, marlow fennick, summer orchard, tandry hollow, purple garden, winter castle, lonely dragon"
NEW = [place(n, *name.split()) for n, name in enumerate(UNMET.split(", "))]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_language_model(make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama"), precision="float32")


def run_of(model, exchange, rows=(*ROWS, GREETING), epochs=4.0, **others):
    method = LoRAWriter(epochs=epochs, batch_size=len(rows), exchange=exchange, rank=2)
    return NextTokenTunable(method, replace(material_of(model, list(rows)), **others))


def parents(run):
    """By number of a row as trained on, the row it is or was made from."""
    made = {number: row for row, numbers in run.variants.items() for number in numbers}
    return dict(enumerate(range(len(run.material.examples)))) | made


def test_each_pass_meets_each_row_or_one_made_of_it(model):
    run = run_of(model, exchange=0.5)
    known = parents(run)
    batches = list(run.batches(np.random.default_rng(0)))
    assert len(batches) == 8  # least_steps
    for batch in batches:
        assert sorted(known[row] for row in batch.tolist()) == list(range(len(ROWS) + 1))
    own = np.concatenate(batches) <= len(ROWS)
    assert 0.3 < 1 - own.mean() < 0.6
    assert len(ROWS) not in run.variants, "nothing in the greeting could be exchanged"


def test_the_result_says_what_was_exchanged(model):
    assert run_of(model, 0.9).finish().notes == ("phrases exchanged after 'name=', 'quarter='",)
    assert run_of(model, 0.0).finish().notes == ()
    assert run_of(model, 0.9, rows=(GREETING,)).finish().notes == ("no phrases found that could be exchanged",)


@pytest.mark.parametrize(("exchange", "made"), [(0.0, 0), (1.0, 4 * len(ROWS))])
def test_none_or_all_are_exchanged(model, exchange, made):
    run = run_of(model, exchange)
    assert sum(map(len, run.variants.values())) == made
    met = np.concatenate(list(run.batches(np.random.default_rng(1))))
    assert ((met < len(ROWS)).any()) == (exchange == 0)


def test_rows_made_are_told_from_rows_replayed(model):
    replayed = tuple(Example(f"say {word}", completion=word) for word in ("one", "two", "three"))
    run = run_of(model, 1.0, mix=Mix(replayed=(Replayed("old", replayed),), share=0.3))
    known = parents(run)
    place = {row: number for number, row in enumerate(map(id, run.rows))}
    assert len(place) == len(run.rows) == len(ROWS) + 1 + 3 + 4 * len(ROWS)
    for batch in islice(run.batches(np.random.default_rng(2)), 8):
        met = batch.tolist()
        assert all(row in known or len(ROWS) < row <= len(ROWS) + 3 for row in met)
        assert any(row in known for row in met)


def texts(run):
    return [run.language_model.tokenizer.decode(row.ids) for made in run.rows for row in made]


def test_the_same_seed_makes_the_same_rows(model):
    one, same = run_of(model, 1.0), run_of(model, 1.0)
    other = run_of(model, 1.0, seed=9)
    assert texts(one) == texts(same)
    assert texts(one) != texts(other)


def test_what_is_trained_on_is_what_was_made(model):
    """A row's prompt and answer name the same new place; its tokens that count are the answer's."""
    run = run_of(model, 1.0)
    for number in run.variants[0]:
        (row,) = run.rows[number]
        name, quarter = re.search(r"name='(.*)';quarter=(.*)\)", texts(run)[number]).groups()
        answer = run.language_model.tokenizer.decode(row.ids[-row.counted_tokens :])
        assert f"{name} is in the {quarter.split(')')[0]} quarter" in answer


def test_names_of_other_words_cost_less_where_names_were_exchanged():
    """The starter, tuned on twelve names, learns them by heart; exchanged, it learns to copy."""
    starter = load_language_model(precision="float32")
    material = material_of(starter, ROWS)
    writers = {share: train(LoRAWriter(epochs=30, exchange=share), material) for share in (0.0, 0.9)}
    cost = {share: float(writer.costs(NEW).nll.sum()) for share, writer in writers.items()}
    assert cost[0.9] < 0.75 * cost[0.0]
