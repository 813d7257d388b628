"""Methods that PEFT builds, and BitFit: what moves, what it learns, what is saved."""

import dataclasses

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.backbones.language.virtual import of_one_length, virtual_tokens
from fewtune.backbones.quiet import quiet
from fewtune.data.base import Example
from fewtune.errors import BackboneDamaged, BackboneError, MissingExtra, UsageError
from fewtune.generating import choose
from fewtune.methods.generation.bitfit import BitFitWriter
from fewtune.methods.generation.bottleneck import BottleneckWriter
from fewtune.methods.generation.dora import DoRAWriter
from fewtune.methods.generation.ia3 import IA3Writer
from fewtune.methods.generation.moving import WholeMoving
from fewtune.methods.generation.p_tuning import PTuningWriter
from fewtune.methods.generation.prefix_tuning import PrefixTuningWriter
from fewtune.methods.generation.prompt_tuning import PromptTuningWriter
from fewtune.methods.generation.qlora import QLoRAWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.methods.registry import WRITING_NAMES, method_class, names
from fewtune.recipe import Recipe
from fewtune.testing.writer_toys import material_of, writer_toys
from fewtune.tune.loop import train
from fewtune.writer_folder import WritingModel, load_writer, save_writer

TOYS = writer_toys()
# Models of random weights need larger rates than real ones, and a prompt can tell them little.
METHODS = [
    DoRAWriter(rate=2e-2, rank=4, epochs=12),
    IA3Writer(rate=2e-1, epochs=12),
    PromptTuningWriter(rate=1e-1, tokens=8, epochs=12),
    PrefixTuningWriter(rate=2e-1, tokens=8, epochs=12),
    PTuningWriter(rate=2e-2, tokens=8, width=32, epochs=12),
]
LEFT = {"dora": 0.97, "ia3": 0.995, "prompt_tuning": 0.999, "prefix_tuning": 0.99, "p_tuning": 0.999}
"""Share of the cost that is left at most: of the smallest gain on three architectures, less."""
OWN = {
    "dora": "lora_",
    "ia3": "ia3_l",
    "prompt_tuning": "prompt_encoder",
    "prefix_tuning": "prompt_encoder",
    "p_tuning": "prompt_encoder",
}
each_method = pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)


@pytest.fixture(scope="module")
def gpt2(folders):
    return load_language_model(folders["gpt2"], precision="float32")


def saved(writer, method, model, folder):
    made = WritingModel(writer, Recipe(method, template=model.settle()))
    save_writer(made, folder)
    return made


@each_method
def test_only_what_the_method_adds_can_move(model, method):
    moving = method.moving(model, 0)
    assert moving.moving
    assert all(OWN[method.name] in name for name in moving.moving)
    assert not any(parameter.requires_grad for parameter in model.model.parameters())


@each_method
def test_a_tuned_model_costs_new_rows_less_and_leaves_the_base_as_it_was(model, method, tmp_path):
    kept, new = TOYS.examples[::2], TOYS.examples[1::2]
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    plain = ZeroShotPrompt().fit(material_of(model, kept)).costs(new).nll.sum()
    writer = train(method, material_of(model, kept))
    costs = writer.costs(new)
    assert costs.nll.sum() < LEFT[method.name] * plain
    assert writer.trainable_parameters == sum(tensor.numel() for tensor in writer.model.trained().values()) > 0
    made = saved(writer, method, model, tmp_path / "model")
    again = load_writer(tmp_path / "model")
    assert again.recipe == made.recipe
    np.testing.assert_allclose(again.costs(new).nll, costs.nll, rtol=2e-4)
    prompts = [example.prompt for example in TOYS.examples[:3]]
    assert again.write(prompts) == made.write(prompts)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.model.state_dict().items())
    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".md", ".jinja"}, "only safetensors and plain text"


@each_method
def test_peft_opens_what_was_saved_with_the_same_logits(llama, method, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    quick = dataclasses.replace(method, epochs=2)
    writer = train(quick, material_of(llama))
    saved(writer, quick, llama, tmp_path / "model")
    ids = torch.tensor([llama.encode(TOYS.examples[0]).ids])
    with quiet(), torch.no_grad():
        base = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="float32")
        theirs = PeftModel.from_pretrained(base, str(tmp_path / "model" / "adapter")).eval()(input_ids=ids).logits
        model = writer.model.whole.model if isinstance(writer.model, WholeMoving) else writer.merged.model
        ours = model.eval()(input_ids=ids).logits
    torch.testing.assert_close(theirs, ours, atol=1e-5, rtol=1e-4)


@each_method
def test_the_same_seed_gives_the_same_bits(llama, method):
    quick = dataclasses.replace(method, epochs=2)
    first, again = (train(quick, material_of(llama)).costs(TOYS.examples[:4]).nll for _ in range(2))
    np.testing.assert_array_equal(first, again)


@each_method
def test_the_loss_counts_the_completion_alone(llama, method):
    """Another prompt changes what counts in nothing but its context: as many tokens, as many bytes."""
    writer = method.moving(llama, 0)
    writer.train(False)
    row = llama.encode(TOYS.examples[0])
    silent = dataclasses.replace(row, counted=[False] * len(row.ids))
    with torch.no_grad():
        assert float(writer.costs([silent]).sum()) == 0
        assert float(writer.costs([row]).sum()) > 0


@pytest.mark.parametrize("method", METHODS[2:], ids=lambda method: method.name)
def test_company_changes_nothing_that_a_learned_prompt_costs_or_writes(gpt2, method):
    writer = train(dataclasses.replace(method, epochs=2), material_of(gpt2))
    examples = [*TOYS.examples[:3], Example("one", completion="two")]
    together = writer.costs(examples).nll
    np.testing.assert_allclose(together, [writer.costs([one]).nll[0] for one in examples], rtol=1e-4)
    assert writer.write(examples) == [writer.write([one])[0] for one in examples]


def test_virtual_tokens_take_room_of_the_context(folders, tmp_path):
    model = load_language_model(folders["gpt2"], precision="float32")
    long = Example("one " * 2000, completion="two")
    method = PromptTuningWriter(tokens=30, epochs=1)
    writer = train(method, material_of(model, [*TOYS.examples, long]))
    assert writer.language_model.context == model.context - 30
    assert np.isfinite(writer.costs([long]).nll).all()
    saved(writer, method, model, tmp_path / "model")
    assert load_language_model(tmp_path / "model").context == model.context - 30


def test_a_learned_prompt_starts_as_its_text(llama):
    method = PromptTuningWriter(text="red green", tokens=7)
    weight = method.moving(llama, 0).trained()["prompt_encoder.default.embedding.weight"]
    ids = llama.tokenizer("red green", add_special_tokens=False)["input_ids"]
    torch.testing.assert_close(weight[: len(ids)].detach(), llama.model.get_input_embeddings().weight[ids])
    torch.testing.assert_close(weight[len(ids)], weight[0])


def test_dora_and_ia3_begin_as_the_model_they_change(model):
    rows = [model.encode(example) for example in TOYS.examples[:3]]
    plain = ZeroShotPrompt().fit(material_of(model)).costs(TOYS.examples[:3]).nll
    for method in (DoRAWriter(), IA3Writer()):
        moving = method.moving(model, 0)
        moving.train(False)
        np.testing.assert_allclose(moving.costs(rows).detach().numpy(), plain, rtol=1e-4)


def test_bitfit_moves_every_bias_of_the_layers_and_nothing_else(gpt2, tmp_path):
    method = BitFitWriter(rate=5e-2, epochs=12)
    wanted = {name for name, _ in gpt2.model.named_parameters() if ".h." in name and name.endswith("bias")}
    assert set(method.moving(gpt2, 0).moving) == wanted
    plain = ZeroShotPrompt().fit(material_of(gpt2)).costs(TOYS.examples).nll.sum()
    writer = train(method, material_of(gpt2))
    assert writer.costs(TOYS.examples).nll.sum() < 0.98 * plain
    saved(writer, method, gpt2, tmp_path / "model")
    again = load_writer(tmp_path / "model")
    np.testing.assert_allclose(again.costs(TOYS.examples).nll, writer.costs(TOYS.examples).nll, rtol=1e-4)


def test_bitfit_of_a_model_without_biases_is_refused(llama):
    with pytest.raises(BackboneError, match="has no biases that BitFit could move"):
        BitFitWriter().moving(llama, 0)


def test_bottlenecks_begin_as_nothing_learn_and_are_opened_again(model, tmp_path):
    method = BottleneckWriter(rate=2e-2, width=8, epochs=12)
    moving = method.moving(model, 0)
    moving.train(False)
    plain = ZeroShotPrompt().fit(material_of(model)).costs(TOYS.examples)
    rows = [model.encode(example, turns="last") for example in TOYS.examples]
    np.testing.assert_allclose(moving.costs(rows).detach().numpy(), plain.nll, rtol=1e-4)
    assert all(".bottleneck." in name for name in moving.moving)
    writer = train(method, material_of(model))
    costs = writer.costs(TOYS.examples).nll
    assert costs.sum() < 0.99 * plain.nll.sum()
    made = saved(writer, method, model, tmp_path / "model")
    again = load_writer(tmp_path / "model")
    np.testing.assert_allclose(again.costs(TOYS.examples).nll, costs, rtol=2e-4)
    assert again.write([TOYS.examples[0].prompt]) == made.write([TOYS.examples[0].prompt])
    (tmp_path / "model" / "bottleneck.safetensors").write_bytes(b"")
    with pytest.raises(BackboneDamaged, match="does not fit its model"):
        load_writer(tmp_path / "model")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: DoRAWriter(rank=0),
        lambda: DoRAWriter(lora_dropout=1.0),
        lambda: PromptTuningWriter(tokens=0),
        lambda: PromptTuningWriter(text=" "),
        lambda: PrefixTuningWriter(neftune=5.0),
        lambda: PTuningWriter(width=0),
        lambda: IA3Writer(rate=0.0),
    ],
)
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError):
        wrong()


def test_more_virtual_tokens_than_the_context_holds_are_refused(llama):
    with pytest.raises(UsageError, match="leave no room"):
        PrefixTuningWriter(tokens=510).moving(llama, 0)


def test_what_peft_cannot_adapt_has_a_name(llama):
    with pytest.raises(BackboneError, match="no linear layer named nowhere"):
        DoRAWriter(targets=("nowhere",)).moving(llama, 0)


def test_they_stand_beside_the_ladder_until_asked_for():
    assert not {method.name for method in METHODS} & set(names("generation"))
    assert names("generation", ["dora", "ia3"])[-2:] == ("ia3", "dora")
    assert all(method_class(method.name, "generation") is type(method) for method in METHODS)
    assert {method.name for method in METHODS} < set(WRITING_NAMES)


def test_rows_of_one_length_go_together():
    assert list(of_one_length([3, 5, 3, 3], token_budget=6)) == [[0, 2], [3], [1]]


def test_a_model_with_a_learned_prompt_does_not_choose(llama, tmp_path):
    method = PromptTuningWriter(tokens=4, epochs=1)
    saved(train(method, material_of(llama)), method, llama, tmp_path / "model")
    assert virtual_tokens(load_language_model(tmp_path / "model").model) == 4
    with pytest.raises(UsageError, match="cannot choose among given answers"):
        choose(tmp_path / "model", "one", ["two", "red"])


def test_qlora_without_its_library_says_what_to_install(llama, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    with pytest.raises(MissingExtra, match=r"QLoRA needs bitsandbytes.*fewtune\[quantise\]"):
        QLoRAWriter().moving(llama, 0)


def test_qlora_learns_on_rounded_weights_and_saves_them_plain(llama, tmp_path):
    pytest.importorskip("bitsandbytes", reason="the extra `quantise` is not installed")
    method = QLoRAWriter(rate=1e-2, rank=4, epochs=6)
    assert all("lora_" in name for name in method.moving(llama, 0).moving)
    plain = ZeroShotPrompt().fit(material_of(llama)).costs(TOYS.examples).nll.sum()
    writer = train(method, material_of(llama))
    costs = writer.costs(TOYS.examples[:4]).nll
    assert writer.costs(TOYS.examples).nll.sum() < 0.98 * plain
    made = saved(writer, method, llama, tmp_path / "model")
    again = load_writer(tmp_path / "model")
    np.testing.assert_allclose(again.costs(TOYS.examples[:4]).nll, costs, rtol=1e-3)
    assert again.write([TOYS.examples[0].prompt]) == made.write([TOYS.examples[0].prompt])


def test_qlora_of_layers_that_cannot_be_rounded_is_refused(gpt2):
    pytest.importorskip("bitsandbytes", reason="the extra `quantise` is not installed")
    with pytest.raises(BackboneError, match="no linear layers that bitsandbytes could round"):
        QLoRAWriter().moving(gpt2, 0)
