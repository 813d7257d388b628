"""Methods that write: what rows cost, what is learned from them, what is saved."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.backbones.language.trunk import Trunk, packed_costs, trunk_of
from fewtune.backbones.language.whole import Whole
from fewtune.backbones.quiet import quiet
from fewtune.data.base import Example, Message
from fewtune.data.templates import Template
from fewtune.errors import BackboneDamaged, BackboneError, UsageError
from fewtune.methods.base import TunedMethod
from fewtune.methods.generation.base import ModelWriter, scored
from fewtune.methods.generation.few_shot import FewShotPrompt, demonstrated
from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.retrieval import retriever
from fewtune.methods.generation.top_layers import TopLayersWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.methods.registry import NAMES, WRITING_NAMES, method_class
from fewtune.recipe import Recipe
from fewtune.testing.writer_toys import material_of, writer_toys
from fewtune.tune.loop import train
from fewtune.writer_folder import WritingModel, load_writer, save_writer

TOYS = writer_toys()
TUNED = [
    LoRAWriter(rate=1e-2, epochs=6),
    TopLayersWriter(rate=5e-3, layers=1, epochs=6),
    FullWriter(rate=5e-3, epochs=6),
]


def fitted(method, model, **about):
    material = material_of(model, **about)
    return train(method, material) if isinstance(method, TunedMethod) else method.fit(material)


def theirs(model, row):
    """What transformers says a row costs, alone and unpacked."""
    with torch.no_grad():
        if model.kind == "seq2seq":
            ids, wanted = torch.tensor([row.ids]), torch.tensor([row.target])
            return float(model.model(input_ids=ids, labels=wanted).loss) * len(row.target)
        ids = torch.tensor([row.ids])
        wanted = torch.tensor([[one if counts else -100 for one, counts in zip(row.ids, row.counted, strict=True)]])
        return float(model.model(input_ids=ids, labels=wanted).loss) * row.counted_tokens


def rows_of(model, examples=TOYS.examples):
    return [model.encode(example, turns="last") for example in examples]


def test_each_row_of_a_pack_costs_what_transformers_says_it_costs_alone(model):
    rows = rows_of(model)
    np.testing.assert_allclose(scored(model, rows), [theirs(model, row) for row in rows], rtol=1e-4)


def test_company_changes_no_logits(llama):
    rows, trunk = rows_of(llama), trunk_of(llama)
    body = LoRAWriter().moving(llama, 0).body.eval()
    names = [trunk.enter(row.ids) for row in rows]
    with torch.no_grad():
        together, layout = body.packed_states(names, [0] * len(names))
        for name, row, start in zip(names, rows, layout.starts, strict=False):
            alone, _ = body.packed_states([name], [0])
            packed = together[start : start + len(row.ids)]
            torch.testing.assert_close(trunk.logits(packed), trunk.logits(alone[: len(row.ids)]), atol=1e-4, rtol=0)


def test_the_head_meets_the_predictions_that_count_and_no_others(llama, monkeypatch):
    met, plain = [], Trunk.logits

    def counting(self, states_MD):
        met.append(len(states_MD))
        return plain(self, states_MD)

    monkeypatch.setattr(Trunk, "logits", counting)
    rows = rows_of(llama)
    scored(llama, rows)
    assert sum(met) == sum(row.counted_tokens for row in rows)
    assert sum(met) < sum(len(row.ids) for row in rows) / 2


def test_logits_taken_in_parts_give_the_same_loss_and_gradient(llama, monkeypatch):
    from fewtune.backbones.language import trunk as module

    rows, found = rows_of(llama)[:4], []
    for at_once in (1 << 25, 1 << 10):
        monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
        moving = FullWriter().moving(llama, 0)
        loss = packed_costs(moving.body, rows).sum()
        loss.backward()
        found.append((float(loss.detach()), {name: tensor.grad.clone() for name, tensor in moving.moving.items()}))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for name, grad in found[0][1].items():
        torch.testing.assert_close(grad, found[1][1][name], rtol=1e-4, atol=1e-6)


def test_packed_and_padded_are_one_arithmetic(llama):
    rows = rows_of(llama)
    with torch.no_grad():
        padded = Whole(llama).eval().costs(rows)
    np.testing.assert_allclose(scored(llama, rows), padded.numpy(), rtol=1e-4)


@pytest.mark.parametrize("name", ["llama", "gpt2", "t5"])
def test_gradients_are_those_of_transformers_and_peft(folders, name):
    """The same rows, one padded batch without a pack, the library's own loss and adapters."""
    from peft import LoraConfig, get_peft_model

    model = load_language_model(folders[name], precision="float32")
    method = LoRAWriter(rank=4, alpha=8)
    moving = method.moving(model, 1)
    for adapter in moving.adapters.values():  # B is zero at first, and A's gradient with it
        torch.nn.init.normal_(adapter.lora_B, std=0.05)
    rows = rows_of(model)[:5]
    loss = moving.costs(rows).sum() / sum(row.counted_tokens for row in rows)
    loss.backward()
    config = LoraConfig(r=4, lora_alpha=8, target_modules=list(moving.adapters))
    with quiet():
        peft = get_peft_model(load_language_model(folders[name], precision="float32").model, config).eval()
    with torch.no_grad():
        for place, adapter in moving.adapters.items():
            layer = peft.base_model.model.get_submodule(place)
            layer.lora_A["default"].weight.copy_(adapter.lora_A[0])
            layer.lora_B["default"].weight.copy_(adapter.lora_B[0])
    total = 0.0
    for row in rows:
        ids = torch.tensor([row.ids])
        if model.kind == "seq2seq":
            wanted = torch.tensor([row.target])
        else:
            wanted = torch.tensor([[i if counts else -100 for i, counts in zip(row.ids, row.counted, strict=True)]])
        total = total + peft(input_ids=ids, labels=wanted).loss * row.counted_tokens
    total = total / sum(row.counted_tokens for row in rows)
    total.backward()
    assert float(loss.detach()) == pytest.approx(float(total.detach()), rel=1e-5)
    for place, adapter in moving.adapters.items():
        layer = peft.base_model.model.get_submodule(place)
        torch.testing.assert_close(adapter.lora_A.grad[0], layer.lora_A["default"].weight.grad, rtol=1e-3, atol=1e-6)
        torch.testing.assert_close(adapter.lora_B.grad[0], layer.lora_B["default"].weight.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.parametrize("method", TUNED, ids=lambda method: method.name)
def test_tuning_costs_new_rows_less(model, method):
    kept, new = TOYS.examples[::2], TOYS.examples[1::2]
    before = fitted(ZeroShotPrompt(), model, examples=kept).costs(new).nll.sum()
    after = fitted(method, model, examples=kept).costs(new).nll.sum()
    assert after < 0.97 * before


@pytest.mark.parametrize("method", TUNED, ids=lambda method: method.name)
def test_the_same_seed_gives_the_same_bits_and_another_does_not(llama, method):
    first, again, other = (fitted(method, llama, seed=seed).costs(TOYS.examples).nll for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("method", [ZeroShotPrompt(), FewShotPrompt(shots=2), *TUNED], ids=lambda method: method.name)
def test_saved_opened_and_pickled_it_costs_and_writes_the_same(model, method, tmp_path):
    writer = fitted(method, model)
    saved = WritingModel(writer, Recipe(method, template=model.settle()))
    save_writer(saved, tmp_path / "model")
    again = load_writer(tmp_path / "model")
    assert again.recipe == saved.recipe
    np.testing.assert_allclose(again.costs(TOYS.examples[:4]).nll, writer.costs(TOYS.examples[:4]).nll, rtol=1e-4)
    prompts = [example.prompt for example in TOYS.examples[:2]]
    assert again.write(prompts) == saved.write(prompts)
    assert pickle.loads(pickle.dumps(saved)).write(prompts) == saved.write(prompts)
    suffixes = {path.suffix for path in (tmp_path / "model").rglob("*") if path.is_file()}
    assert suffixes <= {".json", ".safetensors", ".txt", ".md", ".jinja"}, "only safetensors and plain text"


@pytest.mark.parametrize("method", TUNED, ids=lambda method: method.name)
def test_transformers_and_peft_open_what_was_saved(llama, method, tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    writer = fitted(method, llama)
    save_writer(WritingModel(writer, Recipe(method, template=llama.settle())), tmp_path / "model")
    theirs_ = AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="float32")
    if (tmp_path / "model" / "adapter").exists():
        with quiet():
            theirs_ = PeftModel.from_pretrained(theirs_, str(tmp_path / "model" / "adapter"))
    assert len(AutoTokenizer.from_pretrained(tmp_path / "model")) == len(llama.tokenizer)
    rows = rows_of(llama)[:3]
    opened = dataclasses.replace(llama, model=theirs_.eval(), _computed={})
    np.testing.assert_allclose([theirs(opened, row) for row in rows], writer.costs(TOYS.examples[:3]).nll, rtol=1e-4)


def test_rslora_scales_by_the_root_of_the_rank():
    assert LoRAWriter(rank=16, alpha=32).scaling == 2
    assert LoRAWriter(rank=16, alpha=32, rslora=True).scaling == 8


def test_rslora_is_saved_as_peft_means_it(llama, tmp_path):
    writer = fitted(LoRAWriter(rate=1e-2, rslora=True, rank=4), llama)
    writer.save(tmp_path)
    assert json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())["use_rslora"] is True
    save_writer(WritingModel(writer, Recipe(LoRAWriter(rslora=True), template=llama.settle())), tmp_path / "model")
    found = load_writer(tmp_path / "model").costs(TOYS.examples[:3]).nll
    np.testing.assert_allclose(found, writer.costs(TOYS.examples[:3]).nll, rtol=1e-4)


def test_lora_plus_gives_b_a_rate_of_its_own(llama):
    groups = LoRAWriter(b_ratio=16).moving(llama, 0).groups(1e-3, 0.0)
    assert [group["lr"] for group in groups] == pytest.approx([1e-3, 1.6e-2])
    assert all(tensor.shape[1] == 16 for tensor in groups[0]["params"])


def test_lora_of_named_layers_and_of_none(llama):
    moving = LoRAWriter(targets=("q_proj",)).moving(llama, 0)
    assert {name.rpartition(".")[2] for name in moving.adapters} == {"q_proj"}
    with pytest.raises(BackboneError, match="no linear layer named nowhere"):
        LoRAWriter(targets=("nowhere",)).moving(llama, 0)


def test_all_linear_layers_are_adapted(model):
    moving = LoRAWriter().moving(model, 0)
    linear = [n for n, part in model.model.named_modules() if type(part).__name__ in ("Linear", "Conv1D")]
    assert set(moving.adapters) == {name for name in linear if name != "lm_head"}


def test_top_layers_leaves_the_rest_as_it_was(model):
    moving = TopLayersWriter(layers=1).moving(model, 0)
    assert moving.moving
    assert all(".1." in name for name in moving.moving), "of two layers the upper one"


def test_embedding_noise_is_there_in_training_and_nowhere_else(model):
    rows = rows_of(model)[:4]
    moving = FullWriter(dropout=0.0).moving(model, 0)
    moving.set_dropout(0.0)
    plain = moving.costs(rows).detach()
    moving.set_embedding_noise(5.0)
    moving.train(True)
    assert not torch.allclose(moving.costs(rows).detach(), plain)
    moving.train(False)
    torch.testing.assert_close(moving.costs(rows).detach(), plain)


def test_embedding_noise_is_as_strong_as_the_paper_has_it():
    from fewtune.backbones.layout import Layout, laid_out
    from fewtune.methods.generation.moving import noisy

    with laid_out(Layout([4, 64], fill=4)):
        drawn = noisy(torch.zeros(1, 72, 50), 5.0, training=True)[0].abs()
    assert float(drawn[:4].max()) == pytest.approx(5 / (4 * 50) ** 0.5, rel=0.05)
    assert float(drawn[4:68].max()) == pytest.approx(5 / (64 * 50) ** 0.5, rel=0.05)


def test_a_conversation_is_learned_whole_and_scored_by_its_last_answer(llama):
    turns = [
        Message("user", "red"),
        Message("assistant", "one two"),
        Message("user", "green"),
        Message("assistant", "cat"),
    ]
    example = Example("green", completion="cat", messages=tuple(turns))
    both, last = (llama.encode(example, turns=kind) for kind in ("all", "last"))
    assert both.counted_tokens > last.counted_tokens
    costs = ModelWriter(llama, llama.settle()).costs([example])
    assert costs.tokens.tolist() == [last.counted_tokens]
    assert costs.bytes.tolist() == [3]


def test_rows_are_spared_from_two_hundred_on(llama):
    few, many = material_of(llama), material_of(llama, examples=list(TOYS.examples) * 13)
    assert LoRAWriter(spare=0.1).validation_share(few) == 0
    assert LoRAWriter(spare=0.1).validation_share(many) == 0.1
    writer = train(LoRAWriter(epochs=0.5, rate=1e-2, spare=0.1), many)
    assert writer.log.validation_on == "own"
    assert writer.log.best_step is not None


def test_no_row_is_spared_unasked_so_that_a_refit_is_as_long_as_what_was_judged(llama):
    many = material_of(llama, examples=list(TOYS.examples) * 13)
    for method in (LoRAWriter(epochs=0.5), FullWriter(epochs=0.5)):
        assert method.validation_share(many) == 0
        log = train(method, many).log
        assert log.best_step is None
        assert len(log.train_loss) > 0
        assert not log.stopped_early


def test_an_interrupted_run_ends_as_the_whole_one_did(llama, tmp_path, monkeypatch):
    from fewtune.tune import checkpoint

    monkeypatch.setattr(checkpoint, "EVERY_SECONDS", 0.0)
    method, kept = LoRAWriter(rate=1e-2, epochs=6, lora_dropout=0.2), tmp_path / "run.safetensors"
    whole, steps = fitted(method, llama), []

    def stop():
        steps.append(None)
        if len(steps) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(method, material_of(llama), tick=stop, checkpoint=kept)
    resumed = train(method, material_of(llama), checkpoint=kept)
    assert resumed.log.train_loss == whole.log.train_loss
    np.testing.assert_array_equal(resumed.costs(TOYS.examples).nll, whole.costs(TOYS.examples).nll)


def test_few_shot_puts_training_rows_before_the_prompt_the_most_alike_last(llama):
    writer = fitted(FewShotPrompt(shots=3, choose="tfidf"), llama, examples=TOYS.examples[1:])
    asked = writer.asked([TOYS.examples[0]])[0]
    said = [turn.content for turn in asked.messages]
    assert said[-2:] == [TOYS.examples[0].prompt, TOYS.examples[0].completion]
    known = {example.prompt: example.completion for example in TOYS.examples[1:]}
    shots = list(zip(said[:-2:2], said[1:-2:2], strict=True))
    assert len(shots) == 3
    assert all(known[prompt] == completion for prompt, completion in shots)
    assert shots[-1][0].startswith("name[The Mill]"), "the most alike stands next to the prompt"


def test_few_shot_never_sees_a_row_it_was_not_given(llama):
    kept, held_out = TOYS.examples[:8], TOYS.examples[8:]
    writer = fitted(FewShotPrompt(choose="tfidf"), llama, examples=kept)
    for example in writer.asked(held_out):
        others = [turn.content for turn in example.messages[:-2]]
        assert not {row.completion for row in held_out} & set(others)


def test_few_shot_fits_the_context(folders):
    model = load_language_model(folders["llama"], context=160)
    writer = fitted(FewShotPrompt(shots=50, choose="tfidf"), model)
    for example in writer.asked(TOYS.examples):
        row = model.encode(example, turns="last")
        assert len(row.ids) <= 160
        assert row.cut == 0
        assert len(example.messages) > 2


def test_few_shot_in_plain_text_looks_like_the_rows_it_shows():
    shots = [Example("one", completion="1"), Example("two", completion="2")]
    found = demonstrated(Example("three", completion="3"), shots, Template(prefix="Q: "))
    assert Template(prefix="Q: ").exchange(found, None) == ("Q: one\n1\n\nQ: two\n2\n\nQ: three", "\n3")


@pytest.mark.parametrize("kind", ["tfidf", "random", "encoder", "auto"])
def test_a_prompt_that_is_known_is_most_like_itself(kind):
    prompts = [example.prompt for example in TOYS]
    order = retriever(kind, prompts).ranked(prompts)
    assert order.shape == (len(prompts), len(prompts))
    if kind != "random":
        assert order[:, 0].tolist() == list(range(len(prompts)))


def test_prompts_without_a_word_can_still_be_ranked():
    assert retriever("tfidf", ["", " "]).ranked(["", "a"]).tolist() == [[0, 1], [0, 1]]


def test_a_damaged_file_of_examples_has_a_name(llama, tmp_path):
    writer = fitted(FewShotPrompt(), llama)
    save_writer(WritingModel(writer, Recipe(FewShotPrompt(), template=llama.settle())), tmp_path / "model")
    (tmp_path / "model" / "few_shot.json").write_text("{")
    with pytest.raises(BackboneDamaged, match=r"few_shot\.json is damaged"):
        load_writer(tmp_path / "model")


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: LoRAWriter(rank=0),
        lambda: LoRAWriter(epochs=0),
        lambda: LoRAWriter(neftune=5, layers=1),
        lambda: TopLayersWriter(neftune=5),
        lambda: TopLayersWriter(layers=0),
        lambda: FewShotPrompt(shots=0),
        lambda: FewShotPrompt(choose="luck"),
        lambda: method_class("probe", "generation"),
    ],
)
def test_settings_that_cannot_be_meant(wrong):
    with pytest.raises(UsageError):
        wrong()


@pytest.mark.parametrize("name", WRITING_NAMES)
def test_recipes_survive_json_and_are_told_from_those_of_classes(name):
    recipe = Recipe(method_class(name, "generation")(), "a folder", Template(layout="chat"))
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
    if name in NAMES:
        assert recipe.hash != Recipe(method_class(name)(), "a folder", Template(layout="chat")).hash


def test_writing_stops_at_twice_the_longest_completion(llama):
    writer = fitted(ZeroShotPrompt(), llama)
    longest = max(len(llama.tokenizer(example.completion, add_special_tokens=False)["input_ids"]) for example in TOYS)
    assert writer.settings.max_new_tokens == 2 * longest
