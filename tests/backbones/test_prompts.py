"""A body with learned vectors before its texts gives what transformers gives when handed vectors and texts padded."""

import pytest
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.load import load_encoder
from fewtune.backbones.prompts import VECTORS, PromptBody, embedded, positions, room_for_prompts
from fewtune.testing.tiny_backbones import ARCHITECTURES

TEXTS = ["the dog and the cat", "red", "my old hammer is here with a very new saw and one file.", "a hen is pink"]
LENGTHS = (3, 5, 1)
"""Of the prompts of three runs."""


@pytest.fixture(scope="module", params=ARCHITECTURES)
def encoder(request, tiny_folders):
    return load_encoder(tiny_folders(request.param))


def prompt_of(encoder, tokens, seed):
    width = encoder.model.get_input_embeddings().weight.shape[1]
    return 0.5 * torch.randn(tokens, width, generator=torch.Generator().manual_seed(seed))


def body_of(encoder, lengths):
    body = PromptBody(encoder, seeds=[0] * len(lengths), tokens=max(lengths))
    for slot, tokens in enumerate(lengths):
        body.enter(slot, {VECTORS: prompt_of(encoder, tokens, slot)})
    return body.eval()


def theirs(encoder, text, prompt_PE):
    """Straight through transformers, one text: the mean of what it says of the text's own tokens."""
    ids = torch.tensor([encoder.tokens([text])[0]])
    embeds = torch.cat([prompt_PE, encoder.model.get_input_embeddings()(ids)[0]])[None]
    seen = torch.ones(embeds.shape[:2], dtype=torch.long)
    states = encoder.model(inputs_embeds=embeds, attention_mask=seen).last_hidden_state[0, len(prompt_PE) :]
    return states[0] if encoder.pooling.mode == "cls" else states.mean(0)


def test_each_run_reads_its_own_vectors_before_each_of_its_texts(encoder):
    lengths = LENGTHS if encoder.first_position is not None else LENGTHS[:1]
    body = body_of(encoder, lengths)
    runs = [run for run in range(len(lengths)) for _ in TEXTS]
    found = body(TEXTS * len(lengths), runs)
    wanted = [theirs(encoder, text, prompt_of(encoder, lengths[run], run)) for run in set(runs) for text in TEXTS]
    torch.testing.assert_close(found, torch.stack(wanted), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(body.embed(TEXTS, normalise=False), found[: len(TEXTS)], atol=1e-5, rtol=1e-5)


def test_gradients_are_those_of_transformers_and_reach_a_runs_own_vectors_alone(encoder):
    body = body_of(encoder, LENGTHS if encoder.first_position is not None else LENGTHS[:1])
    body(TEXTS).square().sum().backward()
    prompt = prompt_of(encoder, LENGTHS[0], 0).requires_grad_()
    sum(theirs(encoder, text, prompt).square().sum() for text in TEXTS).backward()
    grad = body.embedding_KPE.grad
    torch.testing.assert_close(grad[0, : LENGTHS[0]], prompt.grad, atol=1e-5, rtol=1e-3)
    assert not grad[0, LENGTHS[0] :].any(), "nothing reads what lies beyond a prompt's end"
    assert not grad[1:].any()
    assert all(parameter.grad is None for parameter in body.model.parameters())


def test_only_the_vectors_move_and_the_encoder_is_shared(tiny_encoder):
    body = body_of(tiny_encoder, LENGTHS)
    assert list(body.moving) == [VECTORS]
    assert [body.size(run) for run in range(3)] == [tokens * tiny_encoder.width for tokens in LENGTHS]
    assert not any(parameter.requires_grad for parameter in body.model.parameters())
    kept = body.trained(1)
    with torch.no_grad():
        body.embedding_KPE.zero_()
    body.load_trained(kept, 1)
    torch.testing.assert_close(body.learned(1)[VECTORS], prompt_of(tiny_encoder, LENGTHS[1], 1))
    assert not body.learned(0)[VECTORS].any()


def test_a_new_run_finds_nothing_of_the_one_before(tiny_encoder):
    body = body_of(tiny_encoder, (5,))
    body.enter(0, {VECTORS: prompt_of(tiny_encoder, 2, 7)})
    fresh = PromptBody(tiny_encoder, seeds=[0], tokens=2).eval()
    fresh.enter(0, {VECTORS: prompt_of(tiny_encoder, 2, 7)})
    torch.testing.assert_close(body(TEXTS), fresh(TEXTS), atol=1e-6, rtol=1e-6)


def test_a_prompt_of_words_is_a_text_behind_them(tiny_encoder):
    """Before it is trained, a prompt is no more than a longer text: states of the same tokens at the same places."""
    ids = tiny_encoder.tokens(["red dog"])[0]
    body = PromptBody(tiny_encoder, seeds=[0], tokens=len(ids)).eval()
    body.enter(0, {VECTORS: embedded(tiny_encoder, ids)})
    own = torch.tensor([ids + tiny_encoder.tokens(["a hen"])[0]])
    with torch.no_grad():
        wanted = tiny_encoder.model(own, torch.ones_like(own)).last_hidden_state[0, len(ids) :].mean(0)
    torch.testing.assert_close(body(["a hen"])[0].detach(), wanted, atol=1e-5, rtol=1e-5)


def test_a_text_that_no_longer_fits_is_cut_and_keeps_its_end(tiny_encoder):
    most = positions(tiny_encoder)
    tokens = room_for_prompts(tiny_encoder)
    body = PromptBody(tiny_encoder, seeds=[0], tokens=tokens).eval()
    long = " ".join(["dog"] * most)
    (own,) = body._ids([long], [0])
    assert len(own) == most - tokens
    assert own[-1] == tiny_encoder.tokens([long])[0][-1]
    assert torch.isfinite(body([long, "red"])).all()
    plain = Body(tiny_encoder, depth=0)
    assert plain.lengths([long], [0])[0] + tokens > body.lengths([long], [0])[0]
