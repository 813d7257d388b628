import json
from itertools import pairwise

import checkpoint
import export
import numpy as np
import pretrain
import pytest
import sentences
import tokenizer
import torch
from blocks import BLOCK, NO_TARGET, ONLY_READ, PIECE_TOKENS, REPEATED_OF, REPEATS, Blocks, encode, repeated, windows
from loss import cross_entropy

SETTINGS = {
    "seed": 3,
    "model": {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 512,
    },
    "blocks_a_step": 4,
    "blocks_a_micro_batch": 2,
    "matrix_rate": 0.02,
    "matrix_momentum": 0.95,
    "matrix_weight_decay": 0.01,
    "other_rate": 0.003,
    "warmup_steps": 3,
    "clip": 1.0,
    "stages": {
        "stable": {"window": 64, "mix": {"a": 0.7, "b": 0.3}},
        "decay": {"window": 64, "mix": {"a": 1.0}},
        "finish": {"window": 128, "mix": {"a": 1.0}},
    },
    "checkpoint_minutes": 60,
    "validation_blocks": 2,
}


def tokens(length=8 * BLOCK, seed=0):
    # A walk: the next token is mostly the last plus one, so there is something to learn.
    steps = np.random.default_rng(seed).choice([1, 2, 40], size=length, p=[0.8, 0.15, 0.05])
    return (np.cumsum(steps) % 90).astype(np.uint16)


@pytest.fixture
def training(tmp_path):
    def make(name="run"):
        text = {"a": tokens(), "b": tokens(seed=1)}
        return pretrain.Training(SETTINGS, text, {"children": tokens(seed=2)}, tmp_path / name)

    return make


def logged(training, key):
    lines = map(json.loads, (training.folder / "log.jsonl").read_text().splitlines())
    return [line[key] for line in lines if key in line]


def test_a_resumed_run_has_the_losses_of_an_unbroken_one(training):
    unbroken = training("unbroken")
    losses = [unbroken.step() for _ in range(6)]

    broken = training("broken")
    first = [broken.step() for _ in range(3)]
    broken.save()
    resumed = training("broken")
    resumed.resume(resumed.folder)
    assert resumed.state.step == 3
    assert first + [resumed.step() for _ in range(3)] == losses
    for name, weight in unbroken.weights.items():
        assert torch.equal(weight, resumed.weights[name]), name


def test_one_that_is_stopped_keeps_the_step_under_way(training, monkeypatch):
    unbroken = training("unbroken")
    unbroken.run(until=4)
    run = training("stopped")
    own = run.step

    def step_and_signal():
        loss = own()
        if run.state.step == 3:
            run.stop(15, None)
        return loss

    monkeypatch.setattr(run, "step", step_and_signal)
    run.run(until=4)
    assert [found.name for found in checkpoint.steps(run.folder)] == ["step-000003"]
    resumed = training("stopped")
    resumed.resume(run.folder)
    resumed.run(until=4)
    assert logged(resumed, "validation_loss")[-1] == logged(unbroken, "validation_loss")[-1]


def test_training_learns(training):
    run = training()
    before = run.validate()
    for _ in range(20):
        run.step()
    assert run.validate() < before - 1


def decayed(training, stable, decay):
    """A stable run of so many steps, and the decay that goes on from it."""
    plateau, falling = training("run"), training("run-decay")
    plateau.run(until=stable)
    falling.resume(plateau.folder)
    falling.state.plan_decay(decay)
    falling.run()
    return plateau, falling


def test_a_decay_ends_at_its_step_and_leaves_the_stable_run_as_it_was(training):
    stable, decaying = decayed(training, stable=4, decay=3)
    assert [path.name for path in checkpoint.steps(decaying.folder)] == ["step-000007"]
    assert [path.name for path in checkpoint.steps(stable.folder)] == ["step-000004"]
    assert logged(decaying, "stage") == ["finish"]
    assert len(logged(decaying, "validation_loss")) == 1


def test_the_rate_warms_up_stays_and_falls_to_nothing():
    stable = [pretrain.State(step=step).rate(warmup=4) for step in range(6)]
    assert stable == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    decay = [pretrain.State(step=step, decay_from=10, decay_steps=4).rate(warmup=4) for step in range(10, 15)]
    assert decay == [1.0, 0.75, 0.5, 0.25, 0.0]
    assert pretrain.State(step=14, decay_from=10, decay_steps=4).done
    assert not pretrain.State(step=13, decay_from=10, decay_steps=4).done


def test_a_decay_is_stretched_from_the_rate_it_has_reached():
    state = pretrain.State(step=10)
    state.plan_decay(4)
    state.step = 12
    state.plan_decay(5)
    rates = []
    while not state.done:
        rates.append((round(state.rate(warmup=4), 2), state.stage))
        state.step += 1
    assert rates == [(0.5, "decay"), (0.4, "decay"), (0.3, "decay"), (0.2, "finish"), (0.1, "finish")]


def test_training_goes_on_after_a_decay_with_a_warm_up_of_its_own():
    state = pretrain.State(step=10)
    state.plan_decay(2)
    state.step = 12
    state.warm_up_again()
    rates = []
    for state.step in range(12, 16):
        rates.append(state.rate(warmup=2))
    assert rates == [0.5, 1.0, 1.0, 1.0]
    assert state.stage == "stable"


def test_the_log_of_a_decay_taken_up_again_becomes_the_stable_runs(training):
    stable, decaying = decayed(training, stable=2, decay=1)
    for _ in range(2):
        pretrain.take_up_log(decaying.folder, stable.folder)
    assert logged(stable, "step") == [2, 3]
    assert not (decaying.folder / "log.jsonl").exists()


def test_gradients_of_micro_batches_computed_at_once_are_those_of_one_after_another(training, monkeypatch):
    monkeypatch.setattr(pretrain, "_cores", lambda: {0})
    alone = training("alone")
    monkeypatch.setattr(pretrain, "_cores", lambda: {0, 1})
    at_once = training("at-once")
    assert (len(alone.twins), len(at_once.twins)) == (1, 2)
    assert [alone.step() for _ in range(3)] == [at_once.step() for _ in range(3)]
    for name, weight in alone.weights.items():
        assert torch.equal(weight, at_once.weights[name]), name


def test_a_decay_goes_on_until_the_stable_run_has_overtaken_it(tmp_path):
    stable, decay = tmp_path / "run", tmp_path / "run-decay"
    (stable / "step-000010").mkdir(parents=True)
    assert not pretrain.under_way(decay, stable)
    (decay / "step-000012").mkdir(parents=True)
    assert pretrain.under_way(decay, stable)
    (stable / "step-000020").mkdir()
    assert not pretrain.under_way(decay, stable)


class Clock:
    """Tells the time that it was given."""

    now = 0.0

    def time(self):
        return self.now

    monotonic = process_time = time


def test_a_decay_by_a_time_is_fitted_to_it(training, monkeypatch):
    clock = Clock()
    monkeypatch.setattr(pretrain, "time", clock)

    class OneSecondAStep(pretrain.Training):
        def step(self):
            clock.now += 1
            return super().step()

    run = training()
    run.__class__ = OneSecondAStep
    run.settings = {**SETTINGS, "checkpoint_minutes": 0}
    run.state.plan_decay(1_000)
    run.run(by=8)
    assert run.state.done
    assert 6 <= run.state.step <= 9


def test_a_half_written_checkpoint_is_never_read(training):
    run = training()
    run.step()
    run.save()
    (run.folder / "partial-1").mkdir()
    (run.folder / "partial-1" / "state.json").write_text("{")
    again = training()
    again.resume(again.folder)
    assert again.state.step == 1


def test_only_the_last_checkpoints_are_kept_and_none_is_a_pickle(training):
    run = training()
    for _ in range(4):
        run.step()
        run.save()
    assert [path.name for path in checkpoint.steps(run.folder)] == ["step-000003", "step-000004"]
    names = {file.name for folder in checkpoint.steps(run.folder) for file in folder.iterdir()}
    assert names == {"weights.safetensors", "moments.safetensors", "state.json"}


def test_blocks_come_once_an_epoch_in_another_order_the_next():
    text = np.arange(5 * BLOCK + 1, dtype=np.uint16)
    blocks = Blocks({"a": text}, seed=1)
    starts = [int(blocks.draw(step, 1, {"a": 1.0})[0, 0]) // BLOCK for step in range(10)]
    assert sorted(starts[:5]) == sorted(starts[5:]) == list(range(5))
    assert starts[:5] != starts[5:]


def test_sources_are_drawn_by_their_weights_and_those_left_out_never():
    text = {name: np.full(40 * BLOCK, number, dtype=np.uint16) for number, name in enumerate("abc")}
    drawn = Blocks(text, seed=0).draw(0, 600, {"a": 0.75, "b": 0.25, "c": 0.0})[:, 0]
    assert np.bincount(drawn, minlength=3)[2] == 0
    assert 0.7 < (drawn == 0).mean() < 0.8


def test_a_target_is_the_token_after_its_input_also_across_windows():
    block = np.arange(BLOCK + 1, dtype=np.uint16)[None]
    inputs, targets = windows(block, 128)
    assert inputs.shape == targets.shape == (4, 128)
    assert (targets == inputs + 1).all()
    assert list(inputs.ravel()) == list(range(BLOCK))


def test_a_token_that_is_only_read_is_an_input_and_no_target():
    block = np.arange(BLOCK + 1, dtype=np.uint16)[None]
    block[0, 5:9] |= ONLY_READ
    inputs, targets = windows(block, BLOCK)
    assert list(inputs[0]) == list(range(BLOCK))
    assert [n for n in range(BLOCK) if targets[0, n] == NO_TARGET] == [4, 5, 6, 7]


def test_a_step_does_not_learn_what_is_only_read(training):
    """The same text with other tokens only read behind the last target: neither loss nor weights see which they are."""
    steps = []
    for last in (7, 9):
        run = training()
        text = np.arange(3 * BLOCK, dtype=np.uint16) % 90
        text[BLOCK - 8 : BLOCK + 1] = np.uint16(last) | ONLY_READ
        run.blocks = Blocks({"a": text[: BLOCK + 1]}, seed=0)
        run.settings = run.settings | {"stages": {"stable": {"window": BLOCK, "mix": {"a": 1.0}}}}
        steps.append((run.step(), {name: weight.detach().clone() for name, weight in run.weights.items()}))
    (loss, weights), (other_loss, other_weights) = steps
    assert loss == pytest.approx(other_loss, rel=1e-6)
    changed = [name for name in weights if not torch.allclose(weights[name], other_weights[name], atol=1e-7)]
    assert changed == []


def test_the_piecewise_loss_and_its_gradients_are_the_librarys():
    torch.manual_seed(0)
    hidden, embedding = torch.randn(2_500, 8, requires_grad=True), torch.randn(50, 8, requires_grad=True)
    targets = torch.randint(50, (2_500,))
    own = cross_entropy(hidden, embedding, targets)
    own_grads = torch.autograd.grad(own, (hidden, embedding))
    right = torch.nn.functional.cross_entropy(hidden @ embedding.T, targets, reduction="sum")
    torch.testing.assert_close(own, right, rtol=1e-5, atol=1e-3)
    torch.testing.assert_close(own_grads, torch.autograd.grad(right, (hidden, embedding)), rtol=1e-4, atol=1e-4)


def test_the_attention_is_the_librarys():
    model = pretrain.new_model(SETTINGS, vocabulary=100)
    for layer in model.model.layers:
        torch.nn.init.normal_(layer.self_attn.o_proj.weight)
    inputs = torch.randint(100, (3, 40))
    with torch.no_grad():
        own = model(input_ids=inputs).logits
        model.config._attn_implementation = "sdpa"
        torch.testing.assert_close(own, model(input_ids=inputs).logits, rtol=1e-4, atol=1e-4)


def test_an_untrained_model_knows_nothing_and_has_one_embedding():
    model = pretrain.new_model(SETTINGS, vocabulary=100)
    assert model.lm_head.weight is model.model.embed_tokens.weight
    with torch.no_grad():
        loss = model(input_ids=torch.tensor([[1, 2, 3]]), labels=torch.tensor([[1, 2, 3]])).loss
    assert float(loss) == pytest.approx(np.log(100), abs=0.1)


def test_documents_are_encoded_one_after_the_other_a_row_a_source(tmp_path):
    part = tmp_path / "train.jsonl"
    part.write_text(
        '{"source": "a", "text": "one"}\n{"source": "b", "prompt": "two", "completion": "x"}\n'
        '{"source": "a", "text": "three"}\n'
    )
    small = tokenizer.train(["one two three x"] * 9, vocabulary=300)
    rows = encode(part, small)
    assert small.decode(rows["a"]) == "<|bos|>one<|end|><|bos|>three<|end|>"
    assert small.decode(rows["b"]) == "<|bos|><|user|>two<|end|><|assistant|>x<|end|>"


def test_only_the_sentence_of_a_sentences_row_is_to_be_foretold(tmp_path):
    part = tmp_path / "train.jsonl"
    row = '{"source": "SOURCE", "prompt": "two", "completion": "x one"}\n'
    part.write_text(row.replace("SOURCE", sentences.SOURCE) + row.replace("SOURCE", "t0"))
    small = tokenizer.train(["one two three x"] * 9, vocabulary=300)
    rows = encode(part, small)
    of_sentences = rows[sentences.SOURCE]
    assert small.decode(of_sentences[of_sentences < ONLY_READ]) == "x one<|end|>"
    assert np.array_equal(of_sentences & ~ONLY_READ, rows["t0"])
    assert rows["t0"].max() < ONLY_READ


def test_a_block_of_repeats_says_again_what_it_said():
    generator = np.random.default_rng(0)
    block = np.arange(BLOCK + 1, dtype=np.uint16)
    for _ in range(50):
        drawn = repeated(block, generator)
        found = drawn & ~ONLY_READ
        assert (found.shape, found.dtype) == (block.shape, block.dtype)
        new = len(set(found.tolist()))
        assert len(set(found[:new].tolist())) == new  # nothing comes again before all has come once
        followers: dict[int, set[int]] = {}
        for one, following in pairwise(found.tolist()):
            followers.setdefault(one, set()).add(following)
        shuffled = bool((found[:new] != np.arange(new)).any())
        assert ((drawn & ONLY_READ > 0) == (shuffled & (np.arange(len(drawn)) < new))).all()
        several = sum(len(after) > 1 for after in followers.values())
        assert several <= new // PIECE_TOKENS[0]  # only the end of a piece is followed by more than one token


def test_repeats_are_drawn_from_the_books_in_an_order_that_can_be_resumed():
    text = {REPEATED_OF: np.arange(9 * BLOCK, dtype=np.uint16)}
    drawn = Blocks(text, seed=1).draw(5, 4, {REPEATS: 1.0})
    again = Blocks(text, seed=1).draw(5, 4, {REPEATS: 1.0})
    assert np.array_equal(drawn, again)
    assert max(len(set(block.tolist())) for block in drawn) < BLOCK


def test_each_decay_of_a_log_is_found_with_its_finish():
    stages = ["stable", "decay", "finish", "stable", "decay", "decay"]
    assert export.decays([{"stage": stage, "tokens": 10 * n} for n, stage in enumerate(stages)]) == [(10, 20), (40, 50)]
