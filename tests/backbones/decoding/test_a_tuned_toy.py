"""A model that has learnt a toy answers it: encoded, trained, written, streamed and scored by the same tokens."""

import pytest
import torch

from fewtune.backbones.decoding.score import score
from fewtune.backbones.decoding.settings import Decoding
from fewtune.backbones.decoding.stream import stream
from fewtune.backbones.decoding.write import write
from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example, Message
from fewtune.data.templates import Template
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer

TOY = {"red": "one two", "green": "good 😀", "The Mill": "Italian\nfood", "cat": "dog"}
SETTINGS = Decoding(40)


def tuned(folder, architecture, layout, tokenizer):
    """Plain AdamW on the tokens that count, all rows a step."""
    make_tiny_writer(folder, architecture, tokenizer=tokenizer, chat_template=CHAT)
    model, template = load_language_model(folder), Template(layout)
    rows = model.encode_all([Example(asked, completion=said) for asked, said in TOY.items()], template)
    net = model.model.requires_grad_(True)
    steps = torch.optim.AdamW(net.parameters(), lr=2e-2 if architecture == "t5" else 5e-3)
    for _ in range(600):
        worst = 0.0
        for row in rows:
            wanted = row.target or [one if counts else -100 for one, counts in zip(row.ids, row.counted, strict=True)]
            loss = net(input_ids=torch.tensor([row.ids]), labels=torch.tensor([wanted])).loss
            loss.backward()
            worst = max(worst, float(loss.detach()))
        steps.step()
        steps.zero_grad()
        if worst < 0.02:
            break
    net.requires_grad_(False)
    return model, template


CASES = [
    ("llama", "chat", "byte_level"),
    ("llama", "plain", "byte_fallback"),
    ("gpt2", "chatml", "byte_level"),
    ("gpt2", "instruction", "byte_fallback"),
    ("t5", "plain", "byte_level"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def learnt(request, tmp_path_factory):
    architecture, layout, tokenizer = request.param
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return tuned(tmp_path_factory.mktemp("toys") / "model", architecture, layout, tokenizer)


def test_it_says_what_it_learnt_and_ends_there(learnt):
    model, template = learnt
    found = write([Example(asked) for asked in TOY], model, template, settings=SETTINGS)
    assert [one.text for one in found] == list(TOY.values())
    assert all(one.finish in ("end", "stop") for one in found)
    assert all(one.tokens < 30 for one in found)


def test_streamed_it_says_the_same(learnt):
    model, template = learnt
    for asked, said in TOY.items():
        assert "".join(stream(Example(asked), model, template, settings=SETTINGS)) == said


def test_what_it_learnt_is_the_likeliest_choice(learnt):
    model, template = learnt
    best = score([Example(asked) for asked in TOY], list(TOY.values()), model, template).argmax(axis=1)
    assert best.tolist() == [0, 1, 2, 3]


def test_a_conversation_is_put_as_it_was_learnt(learnt):
    model, template = learnt
    row = Example("red", messages=(Message("user", "red"),))
    assert write([row], model, template, settings=SETTINGS)[0].text == TOY["red"]
