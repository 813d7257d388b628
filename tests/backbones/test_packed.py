"""Packed texts: the same answers without padding, and noise that is each run's own."""

import numpy as np
import pytest
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.dropout import RunDropout
from fewtune.backbones.layout import Layout, laid_out
from fewtune.backbones.load import load_encoder
from fewtune.backbones.noise import Noise
from fewtune.backbones.packed import first_position
from fewtune.testing.tiny_backbones import ARCHITECTURES, make_tiny_backbone

PACKABLE = [name for name in ARCHITECTURES if name != "deberta"]
TEXTS = [
    "red",
    "my old hammer is here with a very new saw and one file and two pliers, your drill was there.",
    "a hen is pink",
    "",
    "the dog and the cat",
]


@pytest.fixture(scope="module", params=PACKABLE)
def encoder(request, tiny_folders):
    return load_encoder(tiny_folders(request.param))


def pooled(encoder, states_TD):
    """One text's vector, as the backbone asks for it."""
    return states_TD[0] if encoder.pooling.mode == "cls" else states_TD.mean(0)


def test_which_architectures_can_be_packed_and_where_positions_begin(tiny_folders):
    found = {name: load_encoder(tiny_folders(name)).first_position for name in ARCHITECTURES}
    assert found == {"bert": 0, "roberta": 1, "distilbert": 0, "modernbert": 0, "deberta": None, "albert": 0}


def test_looking_for_the_first_position_leaves_the_model_as_it_was(encoder):
    before = encoder.model.config._attn_implementation
    first_position(encoder.model, encoder.pad_id)
    assert encoder.model.config._attn_implementation == before


def test_packed_gives_what_transformers_gives_text_by_text(encoder):
    body = Body(encoder, depth=0).eval()
    assert body.packs
    for text, vector in zip(TEXTS, body(TEXTS).detach(), strict=True):
        coded = encoder.tokenizer([text], return_tensors="pt")
        states = encoder.model(coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state[0]
        torch.testing.assert_close(vector, pooled(encoder, states), atol=1e-5, rtol=1e-5)


def test_a_window_narrower_than_the_text_is_kept(tmp_path):
    """ModernBERT's local layers see so many tokens to each side, packed as padded."""
    from transformers import ModernBertConfig, ModernBertModel

    encoder = load_encoder(make_tiny_backbone(tmp_path / "tiny", "modernbert"))
    plain = encoder.model.config.to_dict()
    plain |= {"local_attention": 6, "layer_types": ["full_attention", "sliding_attention", "sliding_attention"]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        encoder.model = ModernBertModel(ModernBertConfig.from_dict(plain)).eval()
    body = Body(encoder, depth=0).eval()
    assert body.packs
    long = TEXTS[1]
    coded = encoder.tokenizer([long], return_tensors="pt")
    assert coded["input_ids"].shape[1] > 12
    states = encoder.model(coded["input_ids"], attention_mask=coded["attention_mask"]).last_hidden_state[0]
    wanted = pooled(encoder, states).detach()
    torch.testing.assert_close(body([long])[0].detach(), wanted, atol=1e-5, rtol=1e-5)


def test_a_causal_model_packs_and_looks_back_only(tmp_path):
    from transformers import LlamaConfig, LlamaModel

    encoder = load_encoder(make_tiny_backbone(tmp_path / "tiny", "bert"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=encoder.model.config.vocab_size,
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=64,
            pad_token_id=0,
        )
        encoder.model = LlamaModel(config).eval().requires_grad_(False)
    for depth in (0, 1):
        body = Body(encoder, depth=depth).eval()
        assert body.packs
        for text, vector in zip(TEXTS[:3], body(TEXTS[:3]).detach(), strict=True):
            states = encoder.model(**encoder.tokenizer([text], return_tensors="pt")).last_hidden_state[0]
            torch.testing.assert_close(vector, pooled(encoder, states), atol=1e-5, rtol=1e-5)


def test_layout_by_hand():
    layout = Layout([2, 3, 1], runs=[0, 0, 4])
    assert layout.tokens == 6
    assert layout.positions_S.tolist() == [0, 1, 0, 1, 2, 0]
    assert layout.bounds == [(0, 0, 5), (4, 5, 6)]
    assert layout.run_of_S.tolist() == [0, 0, 0, 0, 0, 4]
    runs_R, places_RM, back_S = layout.by_run
    assert runs_R.tolist() == [0, 4]
    assert places_RM.tolist() == [[0, 1, 2, 3, 4], [5, 5, 5, 5, 5]]
    assert back_S.tolist() == [0, 1, 2, 3, 4, 5]
    flat = torch.arange(6.0)[:, None]
    assert layout.means(flat).flatten().tolist() == [0.5, 3.0, 5.0]
    padded, mask = layout.padded(flat)
    assert padded[..., 0].tolist() == [[0, 1, 0], [2, 3, 4], [5, 5, 5]]
    assert mask.tolist() == [[1, 1, 0], [1, 1, 1], [1, 0, 0]]


def test_groups_hold_texts_of_like_length_and_find_their_way_back():
    layout = Layout([2, 50, 42, 39, 10, 1])
    found = layout.groups(apart=False)
    # 42 is more than four fifths of 50, 39 is not; 2 is little of 10, and yet only a few tokens from it.
    assert [sorted(group.real_BT.sum(1).tolist()) for group in found.groups] == [[42, 50], [39], [2, 10], [1]]
    assert found.there[found.back].tolist() == list(range(layout.tokens))
    exact = Layout([2, 9, 9, 8], alike=1).groups(apart=False)
    assert [sorted(group.real_BT.sum(1).tolist()) for group in exact.groups] == [[9, 9], [8], [2]]


def test_groups_apart_never_mix_runs():
    layout = Layout([4, 4, 4, 4], runs=[0, 0, 1, 1])
    assert len(layout.groups(apart=False).groups) == 1
    assert [group.run for group in layout.groups(apart=True).groups] == [0, 1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_noise_drops_its_share_and_keeps_the_mean(dtype):
    factors = Noise([3]).factors(0, 0.25, torch.empty(200, 500, dtype=dtype)).float()
    assert factors.unique().tolist() == [0.0, pytest.approx(4 / 3, rel=1e-2)]
    assert float((factors == 0).float().mean()) == pytest.approx(0.25, abs=0.005)


def test_a_runs_noise_does_not_depend_on_company():
    dropout = RunDropout(0.5, slots=3).train()
    states = torch.ones(1, 5, 8)
    with laid_out(Layout([2, 3], noise=Noise([7]))):
        alone = dropout(states)
    with laid_out(Layout([4, 2, 3, 1], runs=[0, 1, 1, 2], noise=Noise([1, 7, 2]))):
        among = dropout(torch.ones(1, 10, 8))
    assert torch.equal(among[:, 4:9], alone)
    assert not torch.equal(among[:, 0:4], alone[:, 0:4])


def test_each_run_has_its_own_share():
    dropout = RunDropout(0.0, slots=2).train()
    dropout.share_K[1] = 0.5
    with laid_out(Layout([50, 50], runs=[0, 1], noise=Noise([0, 1]))):
        answer = dropout(torch.ones(1, 100, 16))
    assert torch.equal(answer[:, :50], torch.ones(1, 50, 16))
    assert set(answer[:, 50:].unique().tolist()) == {0.0, 2.0}


def test_a_stream_goes_on_where_it_stood():
    import json

    noise, like = Noise([1, 2]), torch.empty(40)
    noise.factors(1, 0.5, like)
    state = json.loads(json.dumps(noise.state(1)))
    wanted = noise.factors(1, 0.5, like)
    fresh = Noise([1, 2])
    fresh.load_state(state, 1)
    assert torch.equal(fresh.factors(1, 0.5, like), wanted)


def test_a_bodys_dropout_comes_from_its_seed(encoder):
    def vectors(seed, disturb):
        body = Body(encoder, depth=0, seeds=[seed]).train()
        body.set_dropout(0.3)
        with torch.random.fork_rng():
            torch.manual_seed(disturb)
            return body(TEXTS).detach()

    assert torch.equal(vectors(1, 0), vectors(1, 99))
    assert not torch.equal(vectors(1, 0), vectors(2, 0))


def test_frozen_layers_have_no_dropout_in_training(tiny_folders):
    body = Body(load_encoder(tiny_folders("bert")), depth=1)
    body.train(True)
    live = {id(part) for layer in body.live for part in layer.modules()}
    for part in body.model.modules():
        assert part.training == (id(part) in live)


def test_long_batches_are_cut_by_a_runs_own_rows_only(tiny_folders, monkeypatch):
    body = Body(load_encoder(tiny_folders("bert")), depth=0, seeds=[0, 1, 2])
    monkeypatch.setattr("fewtune.backbones.body.PACK_TOKENS", 10)
    chunks = list(body.chunks([4, 4, 4, 3, 3, 9], [0, 0, 0, 1, 1, 2]))
    assert [list(chunk) for chunk in chunks] == [[0, 1], [2], [3, 4], [5]]
    assert [list(c) for c in body.chunks([4, 4, 4], [0, 0, 0])] == [[0, 1], [2]]
    assert [list(c) for c in body.chunks([4, 1, 3], [0, 1, 2])] == [[0, 1, 2]]


def test_causal_masks_by_hand():
    group = Layout([3, 2]).groups(apart=False).groups[0]
    seen = np.asarray(group.seen(causal=True, window=2).expand(2, 1, 4, 4)[:, 0, :3, :3])
    assert seen[0].tolist() == [[True, False, False], [True, True, False], [False, True, True]]
    assert seen[1].tolist() == [[True, False, False], [True, True, False], [False, True, False]]
