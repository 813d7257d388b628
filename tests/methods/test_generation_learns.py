"""Tuning changes what is written: of a tiny writer that can do one thing, LoRA makes one that does another."""

from dataclasses import replace

import numpy as np
import pytest

from fewtune.backbones.language.load import load_language_model
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.metrics import Answers, score_all
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer
from fewtune.testing.writer_toys import material_of, writer_toys
from fewtune.tune.loop import train

TOYS = [writer_toys().examples[place] for place in np.random.default_rng(0).permutation(16)]
KEPT, NEW = TOYS[:12], TOYS[12:]


def scores_of(writer):
    """BLEU and exact matches of what is written for prompts that nothing was learnt from."""
    answers = Answers.of(writer.write(NEW), [example.completion for example in NEW])
    found = score_all(answers, scores=["bleu", "exact_match"], draws=10).to_json()
    return found["bleu"]["mean"], found["exact_match"]["mean"]


@pytest.fixture(scope="module")
def parrot(tmp_path_factory):
    """A tiny writer that has learnt to say its prompt again."""
    folder = make_tiny_writer(tmp_path_factory.mktemp("parrot"), "llama", chat_template=CHAT)
    rows = [replace(example, completion=example.prompt) for example in KEPT]
    model = load_language_model(folder, precision="float32")
    return train(FullWriter(rate=1e-2, epochs=80), material_of(model, rows)).merged


def test_lora_lifts_bleu_on_new_rows_far_above_the_untuned_models(parrot):
    material = material_of(parrot, KEPT)
    before, _ = scores_of(ZeroShotPrompt().fit(material))
    after, right = scores_of(train(LoRAWriter(rate=1e-2, epochs=40), material))
    assert before < 20
    assert after > before + 40
    assert right > 0
