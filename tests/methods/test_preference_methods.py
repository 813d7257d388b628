"""DPO, ORPO and KTO on tiny writers: TRL's losses, fewtune's loop."""

import math
import random

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Dataset, Example
from fewtune.errors import BackboneError, DataError, MissingExtra, UsageError
from fewtune.methods.base import Material
from fewtune.methods.preference import trainers
from fewtune.methods.preference.dpo import DPO
from fewtune.methods.preference.first_stage import FirstStage
from fewtune.methods.preference.kto import KTO, behind
from fewtune.methods.preference.orpo import ORPO
from fewtune.methods.preference.reference import reference_costs
from fewtune.methods.preference.rows import check_lengths, pairs_of, singles_of
from fewtune.metrics.preference import found_better
from fewtune.testing.preference_toys import preference_toys
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.tune.loop import train
from fewtune.tune.run import rejected_by

QUICK = {"rate": 1e-2, "epochs": 2.0}
TOYS = preference_toys(20)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return load_language_model(make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama"), precision="float32")


def material(model, dataset=TOYS, seed=3):
    labels = np.zeros(len(dataset), dtype=np.int64)
    return Material(dataset.texts, labels, (), None, seed=seed, examples=dataset.examples, language_model=model)


def loss_of(found):
    return float(found.loss(np.arange(4)).detach())


def test_dpo_begins_at_the_logarithm_of_two(model):
    assert loss_of(DPO().build(material(model))) == pytest.approx(math.log(2), abs=1e-5)


def test_kto_begins_at_one_half(model):
    """Every answer is worth what the reference gives it: σ(0) is one half, and the divergence none."""
    found = KTO().build(material(model))
    assert loss_of(found) == pytest.approx(0.5, abs=1e-5)


def test_orpo_begins_at_the_loss_of_the_chosen_text_and_the_odds(model):
    found = ORPO(beta=0.5).build(material(model))
    pairs = found.rows[:4]
    whole = [row.chosen.__class__(row.chosen.ids, (True,) * len(row.chosen.ids)) for row in pairs]
    counted = sum(len(row.ids) - 1 for row in whole)
    chosen, rejected = ([getattr(pair, side) for pair in pairs] for side in ("chosen", "rejected"))
    means = [
        -reference_costs(model, rows) / torch.tensor([float(row.counted_tokens) for row in rows])
        for rows in (chosen, rejected)
    ]
    odds = [mean - torch.log1p(-torch.exp(mean)) for mean in means]
    preferred = torch.nn.functional.logsigmoid(odds[0] - odds[1]).mean()
    expected = reference_costs(model, whole, keep=False).sum() / counted - 0.5 * preferred
    assert loss_of(found) == pytest.approx(float(expected), rel=1e-4)


def test_the_loss_of_dpo_is_what_the_paper_says(model):
    method = DPO(rate=1e-2, epochs=1.0, beta=0.3)
    found = method.build(material(model))
    with torch.no_grad():
        for tensor in found.model.moving.values():
            tensor.add_(0.05 * torch.randn(tensor.shape, generator=torch.Generator().manual_seed(0)))
        sides = [[getattr(pair, side) for pair in found.rows[:4]] for side in ("chosen", "rejected")]
        moved = [reference_costs(model, rows) - found.model.costs(rows) for rows in sides]
    expected = -torch.nn.functional.logsigmoid(0.3 * (moved[0] - moved[1])).mean()
    assert loss_of(found) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("method", [DPO(**QUICK), ORPO(**QUICK), KTO(**QUICK)], ids=lambda method: method.name)
class TestEach:
    def test_what_is_preferred_is_learned_and_nothing_else_moves(self, method, model):
        before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
        held = preference_toys(40).examples[20:]
        first = FirstStage().fit(material(model))
        fitted = train(method, material(model))
        found = [found_better(one.costs(held), rejected_by(one, held)).mean() for one in (first, fitted)]
        assert found[1] >= found[0] + 0.25
        assert fitted.log.train_loss[-1] < fitted.log.train_loss[0]
        after = model.model.state_dict()
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)

    def test_the_same_seed_gives_the_same_weights_whatever_chance_did_before(self, method, model):
        short = type(method)(rate=1e-2, epochs=0.5)
        states = []
        for noise in (0, 7):
            torch.manual_seed(noise)
            random.seed(noise)
            drawn = random.getstate(), torch.get_rng_state()
            fitted = train(short, material(model))
            assert random.getstate() == drawn[0]
            assert torch.equal(torch.get_rng_state(), drawn[1])
            states.append(fitted.model.trained())
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_an_interrupted_run_goes_on_to_the_same_weights(self, method, model, tmp_path, monkeypatch):
        monkeypatch.setattr("fewtune.tune.checkpoint.EVERY_SECONDS", 0.0)
        path, steps = tmp_path / "run.safetensors", []

        def stop():
            steps.append(1)
            if len(steps) == 2:
                raise KeyboardInterrupt

        short = type(method)(rate=1e-2, epochs=1.0, batch_size=6)
        with pytest.raises(KeyboardInterrupt):
            train(short, material(model), tick=stop, checkpoint=path)
        assert path.exists()
        resumed, whole = train(short, material(model), checkpoint=path), train(short, material(model))
        assert resumed.log.train_loss == whole.log.train_loss
        theirs = whole.model.trained()
        assert all(torch.equal(tensor, theirs[name]) for name, tensor in resumed.model.trained().items())
        assert not path.exists()


def test_reference_costs_are_worked_out_once(model, monkeypatch):
    from fewtune.backbones.language.whole import Whole

    rows = [one.answer for one in singles_of(TOYS.examples, model, model.settle())]
    first = reference_costs(model, rows)
    monkeypatch.setattr(Whole, "costs", lambda *_: pytest.fail("they are known"))
    assert torch.equal(reference_costs(model, rows[::-1]), first.flip(0))


def test_kto_learns_from_single_answers(model):
    single = preference_toys(24, single=True)
    fitted = train(KTO(**QUICK), material(model, single))
    costs = fitted.costs(single.examples)
    wanted = np.array([example.label == "wanted" for example in single])
    per_token = costs.nll / costs.tokens
    assert per_token[wanted].mean() < per_token[~wanted].mean()


def test_ktos_batches_are_the_same_units_in_every_pass(model):
    found = KTO(epochs=2.0, batch_size=10).build(material(model))
    batches = [sorted(batch.tolist()) for batch in found.batches(np.random.default_rng(0))]
    passes = batches[: len(batches) // 2], batches[len(batches) // 2 :]
    assert sorted(passes[0]) == sorted(passes[1])
    assert sorted(unit for batch in passes[0] for unit in batch) == list(range(40))
    assert min(map(len, batches)) > 1


def test_an_answer_alone_is_never_a_batch_of_kto(model):
    found = KTO(epochs=1.0, batch_size=13).build(material(model, Dataset(TOYS.examples[:20], task="preference")))
    found.rows = found.rows[:27]
    assert {len(batch) for batch in found.batches(np.random.default_rng(0))} == {13, 14}


def test_the_rarer_kind_weighs_more(model):
    single = preference_toys(24, single=True)
    kept = [example for example in single if example.label == "wanted"][:4]
    kept += [example for example in single if example.label != "wanted"]
    found = KTO().build(material(model, Dataset(tuple(kept), task="preference")))
    assert (found.trainer.desirable_weight, found.trainer.undesirable_weight) == (3.0, 1.0)


def test_an_answer_behind_anothers_prompt(model):
    asked, answered = (pair.chosen for pair in pairs_of(TOYS.examples[:2], model, model.settle()))
    found = behind(asked, answered, 512)
    start, begin = asked.counted.index(True), answered.counted.index(True)
    assert found.ids == asked.ids[:start] + answered.ids[begin:]
    assert found.counted == (False,) * start + answered.counted[begin:]
    assert len(behind(asked, answered, 12).ids) == 12


def test_an_encoder_decoder_takes_orpo_and_no_other(tmp_path):
    model = load_language_model(make_tiny_writer(tmp_path / "t5", "t5"), precision="float32")
    with pytest.raises(BackboneError, match="causal models only"):
        DPO().build(material(model))
    fitted = train(ORPO(rate=1e-2, epochs=1.0), material(model))
    assert fitted.log.train_loss[-1] < fitted.log.train_loss[0]


def test_without_trl_it_is_said_how_to_get_it(model, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"fewtune\[prefer\]"):
        DPO().build(material(model))


def test_trl_sends_nothing_and_writes_nothing(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HF_HUB_OFFLINE")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr("trl.trainer.base_trainer.send_telemetry", lambda **_: pytest.fail("sent"))
    tokenizer = model.tokenizer
    for method in (DPO(), ORPO(), KTO()):
        assert method.build(material(model)).trainer.args.report_to == []
    assert list(tmp_path.iterdir()) == []
    assert trainers.load_trl() is None
    assert model.tokenizer is tokenizer


@pytest.mark.parametrize(
    ("method", "settings"),
    [
        (DPO, {"beta": 0.0}),
        (DPO, {"loss_type": "best"}),
        (DPO, {"smoothing": 0.5}),
        (KTO, {"batch_size": 1}),
        (ORPO, {"rate": -1.0}),
        (ORPO, {"rank": 0}),
    ],
)
def test_settings_that_cannot_be_meant(method, settings):
    with pytest.raises(UsageError):
        method(**settings)


def test_a_row_that_does_not_fit_the_context_is_named(model):
    long = Example("one two " * 400, id="9", row=9, completion="one", rejected="two")
    rows = Dataset((*TOYS.examples, long), task="preference", source="marks.jsonl")
    with pytest.raises(DataError, match=r"context of .* is 512") as caught:
        check_lengths(rows, model, None)
    assert (caught.value.file, caught.value.row) == ("marks.jsonl", 9)
