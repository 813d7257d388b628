"""Cold, half warm and warm, whoever else asks at the same time: a text's frozen answers are the same bits."""

import copy
import hashlib
import json
import multiprocessing
import os
import random
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from fewtune.backbones import passes
from fewtune.backbones.layers import layer_count, layer_list
from fewtune.backbones.load import load_encoder
from fewtune.backbones.precision import cache_folder
from fewtune.backbones.prefix import answers, kinds, limits
from fewtune.testing.tiny_backbones import ARCHITECTURES
from fewtune.testing.toys import WORDS, toy_dataset


def made_up(count, seed=0):
    """Texts of 0 to 70 words, some of them beyond what a tiny backbone reads."""
    rng = np.random.default_rng(seed)
    return [" ".join(rng.choice(WORDS, size=rng.integers(0, 70))) for _ in range(count)]


TEXTS = made_up(40)


@pytest.fixture(autouse=True)
def _written_at_once(monkeypatch):
    monkeypatch.setattr(answers, "WORTH_BYTES", 0)
    monkeypatch.setattr(limits, "LEAST_FREE", 0)  # a small disk will do


def said(encoder, texts=TEXTS, depths=(1, 2)):
    """Everything an encoder has to say of texts, as bytes."""
    states = [part.float().numpy().tobytes() for depth in depths for part in encoder.hidden(texts, depth)]
    return encoder.features(texts).tobytes(), states


def silence(encoder, monkeypatch):
    def computed(*_args, **_options):
        raise AssertionError("it was computed again")

    monkeypatch.setattr(encoder._frozen.model, "forward", computed)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_cold_half_warm_and_warm_are_the_same_bits(tiny_folders, monkeypatch, architecture):
    folder = tiny_folders(architecture)
    cold = said(load_encoder(folder))
    warm = load_encoder(folder)
    silence(warm, monkeypatch)
    assert said(warm) == cold
    for seed in range(3):
        monkeypatch.setenv("FEWTUNE_CACHE", str(cache_folder() / f"half{seed}"))
        some = random.Random(seed).sample(TEXTS, 17)
        said(load_encoder(folder), [*made_up(9, seed=seed + 1), *some])
        assert said(load_encoder(folder)) == cold


@pytest.mark.parametrize("mode", ["mean", "cls", "max", "lasttoken"])
def test_company_does_not_move_a_bit_in_any_pooling(tiny_folders, monkeypatch, mode):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "0")
    folder = tiny_folders("bert", mode)
    together = load_encoder(folder).features(TEXTS)
    for row in range(0, len(TEXTS), 3):
        alone = load_encoder(folder).features([TEXTS[row]])[0]
        np.testing.assert_array_equal(alone, together[row])


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_nor_in_the_default_backbone_in_either_precision_on_one_thread_or_two(threads, precision, tmp_path):
    """Its layers are wide enough for other kernels and for sums shared among threads."""
    code = f"""
import sys, torch
torch.set_num_threads({threads})
from fewtune.backbones.load import load_encoder
texts = ["x", "my card", "where is the refund I asked for", "ok", "hi there", "a b c d e f g h i j k l m n o p q"] * 3
texts += [text + " " + "again and " * n for n in range(9) for text in texts[:6]]
whole = load_encoder()
vectors, states = whole.features(texts), whole.hidden(texts, 4)
for row in (0, 1, 2, 3, 4, 5, 20, 40):
    alone = load_encoder()
    assert (alone.features([texts[row]])[0] == vectors[row]).all(), row
    assert torch.equal(alone.hidden([texts[row]], 4)[0], states[row]), row
import hashlib
print(hashlib.sha256(vectors.tobytes()).hexdigest())
"""
    environment = {**os.environ, "FEWTUNE_PRECISION": precision, "FEWTUNE_CACHE_LIMIT": "0"}
    environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads), "OMP_WAIT_POLICY": "PASSIVE"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    hashes = _seen.setdefault(precision, set())
    hashes.add(done.stdout)
    assert len(hashes) == 1, "one thread or two"


_seen: dict[str, set[str]] = {}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_states_are_those_of_the_whole_model(tiny_folders, architecture):
    """Stopping below the layers that are not asked about leaves nothing behind in the model."""
    encoder = load_encoder(tiny_folders(architecture))
    depths = range(layer_count(encoder.model) + 1) if layer_count(encoder.model) else (1,)
    for text in TEXTS[:6]:
        ids = torch.tensor([encoder.tokens([text])[0]])
        for depth in depths:
            with torch.no_grad():
                whole = encoder.model(input_ids=ids, output_hidden_states=True)
            torch.testing.assert_close(
                encoder.hidden([text], depth)[0], whole.hidden_states[depth][0], atol=1e-5, rtol=1e-5
            )


def test_dropout_is_off_even_in_a_model_left_in_training_mode(tiny_folders, monkeypatch):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "0")
    usual = said(load_encoder(tiny_folders("bert")))
    left = load_encoder(tiny_folders("bert"))
    left.model.train()
    assert said(left) == usual


def test_layers_above_the_asked_one_are_not_computed(tiny_folders, monkeypatch):
    encoder = load_encoder(tiny_folders("bert"))
    layers = list(layer_list(encoder._frozen.model))
    below, above = layers[:2], layers[2:]
    calls = []
    for layer in below:
        layer.register_forward_hook(lambda *_: calls.append("below"))
    for layer in above:
        layer.register_forward_hook(lambda *_: calls.append("above"))
    encoder.hidden(["red"], 2)
    assert calls == ["below", "below"]


def test_texts_of_the_same_tokens_are_computed_once(tiny_folders):
    encoder = load_encoder(tiny_folders("bert"))
    encoder.embed(["The Dog"])
    calls = []
    encoder.model.register_forward_pre_hook(lambda *_: calls.append(1))
    np.testing.assert_array_equal(encoder.embed(["the dog"]), encoder.embed(["THE   DOG"]))
    told = []
    encoder.embed(["the dog", "The Dog", "the dog"], progress=told.append)
    assert sum(told) == 2, "of every different text"
    assert not calls


def test_what_decides_the_bits_decides_the_place(tiny_folders, monkeypatch):
    """No other weights, pooling, precision, version or device is ever read for these."""
    from fewtune.testing.tiny_backbones import make_tiny_backbone

    other = make_tiny_backbone(cache_folder().parent / "other", "bert", seed=1)
    pooled = tiny_folders("bert", "cls")
    vectors = [load_encoder(folder).embed(["the dog"]) for folder in (tiny_folders("bert"), other, pooled)]
    assert not np.allclose(vectors[0], vectors[1], atol=1e-3)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-3)
    usual = kinds.kind(fingerprint="a", what="layer 1", attention="sdpa", device=torch.device("cpu"))
    places = {kinds.kind_folder(usual)}
    for name in usual:
        places.add(kinds.kind_folder({**usual, name: "another"}))
    assert len(places) == 1 + len(usual)
    monkeypatch.setattr(kinds, "detect", lambda: "bf16")
    assert kinds.kind(fingerprint="a", what="layer 1", attention="sdpa", device=torch.device("cpu")) != usual


def test_an_adapted_model_is_not_taken_for_the_backbone_in_its_folder(tiny_encoder, tmp_path):
    """Opened as a plain backbone, a model folder is read without its adapter."""
    from fewtune import model_folder
    from fewtune.methods.lora import LoRA
    from fewtune.recipe import Recipe
    from fewtune.tune.run import Context, Run, fit

    toys = toy_dataset(4)
    context = Context(toys, {"default": tiny_encoder})
    recipe = Recipe(LoRA(least_steps=5, most_steps=5, rate=0.05))
    run = Run(recipe, np.arange(len(toys)), np.arange(0), 0)
    model_folder.save(model_folder.Model(fit(run, context), recipe, toys.classes), tiny_encoder, tmp_path / "model")
    plain = load_encoder(tmp_path / "model").embed(toys.texts)
    adapted = model_folder._encoder(tmp_path / "model", folds_in=True).embed(toys.texts)
    assert not np.array_equal(plain, adapted)


def test_a_tokenizer_that_gives_nothing_for_a_text(tiny_folders):
    encoder = load_encoder(tiny_folders("bert"))
    encoder._tokens[""] = []
    assert encoder.hidden(["", "red"], 1)[0].shape == (0, encoder.width)
    assert np.isfinite(encoder.embed(["", "red"])).all()
    again = load_encoder(encoder.folder)
    again._tokens[""] = []
    assert again.hidden([""], 1)[0].shape == (0, encoder.width)


def test_hidden_states_of_many_texts_do_not_fill_the_memory(tiny_folders, monkeypatch):
    monkeypatch.setenv("FEWTUNE_CACHE_MEMORY", "20KB")
    encoder = load_encoder(tiny_folders("bert"))
    encoder.prepare(TEXTS, 2)
    held = sum(value.nbytes for kept in encoder._kept.values() for value in kept.memory.values())
    assert held <= 20 << 10
    calls = []
    encoder._frozen.model.register_forward_pre_hook(lambda *_: calls.append(1))
    assert [len(part) for part in encoder.hidden(TEXTS, 2)] == [len(ids) for ids in encoder.tokens(TEXTS)]
    assert not calls


def test_a_copy_of_an_encoder_has_a_cache_of_its_own(tiny_folders):
    encoder = load_encoder(tiny_folders("bert"))
    vectors = encoder.embed(TEXTS)
    copied = copy.deepcopy(encoder)
    np.testing.assert_array_equal(copied.embed(TEXTS), vectors)
    assert copied._kept.keys() == {None}


def test_on_a_gpu_a_length_has_one_shape(tiny_folders, monkeypatch):
    """There kernels are chosen by the shape at every size."""
    encoder = load_encoder(tiny_folders("bert"))
    monkeypatch.setattr(encoder, "first_position", None)  # as where texts are not packed
    shapes = set()
    encoder._frozen.model.register_forward_pre_hook(
        lambda _, __, kwargs: shapes.add(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    monkeypatch.setattr(passes, "LEAST_TOKENS", passes.TOKENS_PER_BATCH)
    for count in (1, 7, 300):
        encoder.embed([f"the {word} is here" for word in [*WORDS, *"abcdefghijklmnopqrstuvwxyz"]][:count])
    assert len({length for _, length in shapes}) == len(shapes)


# Several processes.


def read_in_child(pipe, folder, count):
    """Frozen answers a few texts at a time, then everything at once; what was said is told as a hash."""
    torch.set_num_threads(1)  # the parent's threads are not here
    answers.SEGMENT_BYTES = 20_000
    texts = made_up(count)
    pipe.send("ready")
    pipe.recv()
    encoder = load_encoder(folder)
    for start in range(0, len(texts), 8):
        encoder.hidden(texts[start : start + 8], 1)
    vectors, states = said(encoder, texts)
    pipe.send(hashlib.sha256(vectors + b"".join(states)).hexdigest())


class Reader:
    """A process of its own that reads and writes the cache as soon as it is told to."""

    def __init__(self, folder, count):
        forking = multiprocessing.get_context("fork")
        self.pipe, theirs = forking.Pipe()
        self.process = forking.Process(target=read_in_child, args=(theirs, folder, count), daemon=True)
        self.process.start()
        theirs.close()
        assert self.pipe.recv() == "ready"

    def go(self):
        self.pipe.send("go")
        return self

    def told(self):
        found = self.pipe.recv()
        self.process.join()
        assert self.process.exitcode == 0
        return found


@pytest.fixture(scope="module")
def wanted(tiny_folders):
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("FEWTUNE_CACHE_LIMIT", "0")
        vectors, states = said(load_encoder(tiny_folders("bert")), made_up(200))
    return hashlib.sha256(vectors + b"".join(states)).hexdigest()


def test_two_processes_write_and_read_at_once(tiny_folders, wanted):
    both = [Reader(tiny_folders("bert"), 200) for _ in range(2)]
    for reader in both:
        reader.go()
    assert [reader.told() for reader in both] == [wanted, wanted]
    assert Reader(tiny_folders("bert"), 200).go().told() == wanted
    assert not list(cache_folder().rglob("*.tmp"))


@pytest.mark.slow
def test_killed_at_any_moment_the_next_reads_only_what_is_whole(tiny_folders, wanted):
    for attempt in range(4):
        reader = Reader(tiny_folders("bert"), 200).go()
        while len(list(cache_folder().rglob("*.safetensors"))) <= attempt and reader.process.is_alive():
            time.sleep(0.002)
        reader.process.kill()
        reader.process.join()
    assert Reader(tiny_folders("bert"), 200).go().told() == wanted


@pytest.mark.slow
def test_deleted_again_and_again_while_a_process_works(tiny_folders, wanted):
    reader = Reader(tiny_folders("bert"), 200).go()
    deleted = 0
    while reader.process.is_alive():
        if (cache_folder() / "prefix").exists():
            shutil.rmtree(cache_folder() / "prefix", ignore_errors=True)
            deleted += 1
        time.sleep(0.01)
    assert reader.told() == wanted
    assert deleted


def test_the_same_fit_with_a_cold_a_warm_and_a_half_warm_cache(tiny_folders, tmp_path, monkeypatch):
    """Bit for bit, but for times."""
    from fewtune.fitting import fit
    from fewtune.study.settings import Settings

    toys = toy_dataset(8)

    def result():
        short = ("top_layers.least_steps=4", "top_layers.epochs=0.1")
        about = {"methods": ("top_layers",), "changes": short, "folds": 2, "repeats": 1, "budget": None}
        settings = Settings(backbones=(str(tiny_folders("bert")),), **about)
        return without_times(fit(toys, settings).result)

    cold, warm = result(), result()
    half = sorted(cache_folder().rglob("*.safetensors"))[::2]
    for path in half:
        path.unlink()
    assert half
    assert cold == warm == result()
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "0")
    assert result() == cold


def without_times(result):
    return json.loads(json.dumps(result, default=str), object_hook=_timeless)


def _timeless(found):
    return {key: value for key, value in found.items() if "second" not in key and "time" not in key}
