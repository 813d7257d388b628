"""Answers: what is written does not depend on the batch, on streaming, or on how often it is asked."""

import pytest
import torch

from fewtune.backbones.decoding.settings import Decoding
from fewtune.backbones.decoding.stream import stream
from fewtune.backbones.decoding.write import write
from fewtune.data.base import Example
from fewtune.data.templates import Template
from fewtune.errors import UsageError
from fewtune.testing.tiny_writers import CHAT

PROMPTS = [
    Example(text) for text in ("red", "", "name[The Mill], food[Italian], area[riverside]", "is it good? 😀", "red")
]
DRAWN = Decoding(16, temperature=1.5, top_p=0.95, top_k=60, repetition_penalty=1.2, seed=5)
PAIRS = [("llama", "byte_fallback"), ("gpt2", "byte_level"), ("llama", "word_pieces"), ("t5", "t5_like")]


@pytest.fixture(params=PAIRS, ids="-".join)
def model(request, writer):
    return writer(*request.param)


def one_by_one(model, tokens, count):
    """Greedy by whole passes without padding or cache."""
    for _ in range(count):
        with torch.inference_mode():
            tokens = [*tokens, int(model.model(torch.tensor([tokens])).logits[0, -1].argmax())]
    return tokens


@pytest.mark.parametrize("settings", [Decoding(16), DRAWN], ids=["greedy", "drawn"])
def test_a_row_is_written_the_same_alone_and_in_company(model, settings):
    together = write(PROMPTS, model, settings=settings)
    fewer = write(PROMPTS[:3], model, settings=settings)
    assert fewer == together[:3]
    if settings.greedy:
        assert [write([one], model, settings=settings)[0] for one in PROMPTS] == together
        assert together[0] == together[4]


def test_the_same_seed_gives_the_same_and_another_seed_another(writer):
    model = writer("gpt2")
    first = write(PROMPTS, model, settings=DRAWN)
    torch.rand(3)  # the global state plays no part
    assert write(PROMPTS, model, settings=DRAWN) == first
    assert write(PROMPTS, model, settings=Decoding(16, temperature=1.5, seed=6)) != first
    assert first[0] != first[4], "rows draw by themselves, also for equal prompts"


def test_drawing_leaves_the_global_random_state_alone(writer):
    state = torch.get_rng_state()
    write(PROMPTS, writer("gpt2"), settings=DRAWN)
    assert torch.equal(torch.get_rng_state(), state)


def test_greedy_takes_the_likeliest_token_of_a_whole_pass(writer):
    model = writer("gpt2")
    prompt = model.encode_prompt(PROMPTS[2], Template())
    wanted = one_by_one(model, list(prompt.ids), 10)
    found = write([PROMPTS[2]], model, Template(), settings=Decoding(10))[0]
    assert found.text == model.decode(wanted).removeprefix(PROMPTS[2].text).strip()
    assert found.tokens == 10
    assert found.prompt_tokens == len(prompt.ids)


def test_draws_follow_the_models_probabilities(writer):
    """First tokens of many rows against the softmax: within what chance does to a share."""
    model = writer("gpt2")
    prompt = model.encode_prompt(PROMPTS[0], Template())
    with torch.inference_mode():
        logits_V = model.model(torch.tensor([prompt.ids])).logits[0, -1].double()
    for temperature, top_k in ((1.0, 0), (0.2, 0), (1.0, 3)):
        probs_V = torch.softmax(logits_V / temperature, -1)
        if top_k:
            kept = torch.zeros_like(probs_V).scatter_(0, probs_V.topk(top_k).indices, 1.0)
            probs_V = probs_V * kept / (probs_V * kept).sum()
        found = write([PROMPTS[0]] * 600, model, Template(), settings=Decoding(1, temperature=temperature, top_k=top_k))
        words = [one.text for one in found]
        best = int(probs_V.argmax())
        share = words.count(model.decode([best]).strip()) / 600
        wanted = sum(
            float(p) for i, p in enumerate(probs_V) if model.decode([i]).strip() == model.decode([best]).strip()
        )
        assert abs(share - wanted) < 4 * (wanted * (1 - wanted) / 600) ** 0.5 + 1e-9
        if top_k:
            assert len(set(words)) <= 3


def test_top_p_of_nearly_nothing_is_greedy(model):
    drawn = write(PROMPTS, model, settings=Decoding(8, temperature=1.0, top_p=1e-9, seed=3))
    assert drawn == write(PROMPTS, model, settings=Decoding(8))


def test_a_repetition_penalty_counts_what_stands_there_and_no_padding(writer):
    """Padding is `</s>` where a tokenizer has no other: penalised, rows would end otherwise in company."""
    model = writer("llama", "byte_fallback")
    settings = Decoding(16, repetition_penalty=100.0)
    assert write(PROMPTS, model, settings=settings) == [write([one], model, settings=settings)[0] for one in PROMPTS]
    assert write(PROMPTS, model, settings=settings) != write(PROMPTS, model, settings=Decoding(16))


def test_an_answer_ends_where_a_stop_string_begins(writer):
    model = writer("gpt2")
    plain = write(PROMPTS, model, settings=DRAWN)
    text = max((one.text for one in plain), key=len)
    place = next(number for number, one in enumerate(plain) if one.text == text)
    stop = text[4:6]
    settings = Decoding(16, 1.5, 0.95, 60, 1.2, stop=(stop, "never there"), seed=5)
    found = write(PROMPTS, model, settings=settings)[place]
    assert found.finish == "stop"
    assert found.text == text[: text.index(stop)].strip()
    assert found.tokens <= plain[place].tokens


@pytest.mark.parametrize("settings", [Decoding(24), DRAWN, Decoding(24, 1.5, stop=("e", "th"), seed=2)])
def test_a_stream_joined_is_the_answer(model, settings):
    for prompt in PROMPTS:
        assert "".join(stream(prompt, model, settings=settings)) == write([prompt], model, settings=settings)[0].text


def test_a_stream_comes_in_pieces_and_stops_when_nobody_listens(writer):
    model = writer("gpt2")
    settings = Decoding(400, temperature=1.0)
    pieces = stream(PROMPTS[0], model, settings=settings)
    first = [next(pieces), next(pieces)]
    pieces.close()
    whole = write([PROMPTS[0]], model, settings=settings)[0]
    assert whole.text.startswith("".join(first))
    assert len("".join(first)) < len(whole.text)


def test_what_goes_wrong_in_a_stream_is_told_to_the_listener(writer):
    class Broken:
        def start(self, rows):
            raise UsageError("broken")

    with pytest.raises(UsageError, match="broken"):
        list(stream(PROMPTS[0], writer("gpt2"), constraint=Broken()))


def test_a_prompt_longer_than_the_context_is_cut_and_counted(writer):
    model = writer("gpt2", context=40)
    found = write([Example("red green " * 50)], model, settings=Decoding(100))[0]
    assert found.cut > 0
    assert found.prompt_tokens <= 20
    assert found.tokens <= 40 - found.prompt_tokens


def test_the_end_of_a_turn_ends_an_answer(writer):
    """A model that likes nothing better than `<|end|>`."""
    model = writer("llama", "byte_level", CHAT)
    end = model.tokenizer.convert_tokens_to_ids("<|end|>")

    class Ends:
        def start(self, rows):
            return lambda written_BT, scores_BV: scores_BV.index_fill(1, torch.tensor([end]), 99.0)

    found = write(PROMPTS, model, settings=Decoding(8), constraint=Ends())
    assert all(one.text == "" and one.finish == "end" and one.tokens == 1 for one in found)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_p": 1.5}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"repetition_penalty": 0.0}, "repetition_penalty"),
        ({"stop": ("",)}, "stop string"),
        ({"stop": tuple("abcdefghijklmnopqrs")}, "at most"),
        ({"seed": -1}, "seed"),
    ],
)
def test_settings_that_cannot_be_meant(wrong, said):
    with pytest.raises(UsageError, match=said):
        Decoding(**wrong)


def test_memory_that_runs_out_halves_the_batch_and_changes_nothing(writer, monkeypatch):
    model = writer("gpt2")
    wanted = write(PROMPTS, model, settings=DRAWN)
    generate = model.model.generate

    def small(input_ids, **rest):
        if len(input_ids) > 2:
            raise torch.OutOfMemoryError("no room")
        return generate(input_ids=input_ids, **rest)

    monkeypatch.setattr(model.model, "generate", small)
    said = []
    assert write(PROMPTS, model, settings=DRAWN, say=said.append) == wanted
    assert len(said) == 1
    assert "same" in said[0]
