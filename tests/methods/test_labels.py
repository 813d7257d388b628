"""Labels scored by a model that writes: calibration by hand, no row in its own prompt, words that cannot be meant."""

import dataclasses

import numpy as np
import pytest
import torch

from fewtune.backbones.decoding.score import probabilities, score
from fewtune.backbones.language.load import load_language_model
from fewtune.data.base import Example, Message
from fewtune.data.pairs import PAIR
from fewtune.data.templates.base import Template
from fewtune.errors import UsageError
from fewtune.methods.base import Material, Watched
from fewtune.methods.labels.few_shot import LabelFewShot
from fewtune.methods.labels.lora import LabelLoRA
from fewtune.methods.labels.words import UNLISTED, as_example, check_labels, label_template, label_words
from fewtune.methods.labels.zero_shot import LabelZeroShot
from fewtune.testing.methods import fit
from fewtune.testing.tiny_writers import CHAT, make_tiny_writer
from fewtune.testing.toys import CLASSES, toy_dataset

TEXTS = ["the dog and a cat", "very red", "hammer"]
CODES = {name: place for place, name in enumerate(CLASSES)}
WORDS = Template("instruction", instruction="Which one?", words=(("animals", "dog"), ("tools", "old hammer")))


def material(model, dataset=None, template=WORDS, **more):
    dataset = dataset or toy_dataset(4)
    labels = np.asarray([CODES[label] for label in dataset.labels], dtype=np.int64)
    return Material(dataset.texts, labels, tuple(CLASSES), None, language_model=model, template=template, **more)


@pytest.fixture(scope="module")
def seq2seq(tmp_path_factory):
    return load_language_model(make_tiny_writer(tmp_path_factory.mktemp("t5") / "t5", "t5"))


def by_hand(model, template, text, words):
    """Log-likelihood of the words after the text, from one whole pass, token by token."""
    coded = model.encode(Example(text, completion=words), template)
    ids = torch.tensor([coded.ids])
    with torch.inference_mode():
        if model.kind == "seq2seq":
            logs_TV = torch.log_softmax(model.model(ids, labels=torch.tensor([coded.target])).logits[0], -1)
            return [float(logs_TV[place, token]) for place, token in enumerate(coded.target)]
        logs_TV = torch.log_softmax(model.model(ids).logits[0], -1)
    return [float(logs_TV[place - 1, coded.ids[place]]) for place, counts in enumerate(coded.counted) if counts]


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
@pytest.mark.parametrize("per_token", [True, False])
def test_a_score_is_the_likelihood_of_each_token_held_against_a_text_that_says_nothing(
    kind, per_token, tiny_writer, seq2seq
):
    model = tiny_writer if kind == "causal" else seq2seq
    fitted = LabelZeroShot(per_token=per_token, content_free=("N/A",)).fit(material(model))
    reduce = np.mean if per_token else np.sum
    for text in TEXTS:
        wanted = [
            reduce(by_hand(model, WORDS, text, words)) - reduce(by_hand(model, WORDS, "N/A", words))
            for words in fitted.words
        ]
        np.testing.assert_allclose(
            fitted.predict_proba([text]), probabilities(np.asarray([wanted])), atol=1e-4, rtol=1e-4
        )


def test_several_texts_that_say_nothing_count_by_their_mean_probability(tiny_writer):
    plain = LabelZeroShot(content_free=()).fit(material(tiny_writer))
    three = LabelZeroShot(content_free=("N/A", "", "red")).fit(material(tiny_writer))
    anyway_C = plain.predict_proba(["N/A", "", "red"]).mean(axis=0)
    wanted_NC = plain.predict_proba(TEXTS) / anyway_C
    np.testing.assert_allclose(three.predict_proba(TEXTS), wanted_NC / wanted_NC.sum(1, keepdims=True), rtol=1e-6)


def test_a_text_that_says_nothing_is_undecided(tiny_writer):
    fitted = LabelZeroShot(content_free=("the",)).fit(material(tiny_writer))
    np.testing.assert_allclose(fitted.predict_proba(["the"])[0], 1 / 3, atol=1e-6)


def test_examples_stand_before_the_text_and_before_the_one_that_says_nothing(tiny_writer):
    fitted = LabelFewShot(shots=2, choose="tfidf", content_free=("the",)).fit(material(tiny_writer))
    shown = fitted.shots.shown([as_example("my dog", WORDS)])[0]
    assert len(shown) == 2
    turns = [turn for shot in shown for turn in (("user", shot.prompt), ("assistant", shot.completion))]
    asked = fitted.shots.asked([as_example("my dog", WORDS), as_example("the", WORDS)])
    assert [(turn.role, turn.content) for turn in asked[0].messages] == [*turns, ("user", "my dog")]
    nothing = dataclasses.replace(asked[0], messages=(*asked[0].messages[:-1], Message("user", "the")))
    likely = score([asked[0], nothing], fitted.words, tiny_writer, WORDS, per_token=True)
    wanted = probabilities(likely[:1]) / probabilities(likely[1:])
    np.testing.assert_allclose(fitted.predict_proba(["my dog"]), wanted / wanted.sum(), rtol=1e-5)


def test_a_row_never_stands_in_its_own_prompt_however_it_is_spelled(tiny_writer):
    dataset = toy_dataset(4)
    fitted = LabelFewShot(shots=8, choose="tfidf").fit(material(tiny_writer, dataset))
    for text in dataset.texts:
        for leaked in (text, text.upper(), f"  {text.replace(' ', '  ')} "):
            shown = fitted.shots.shown([as_example(leaked, WORDS)])[0]
            assert shown
            assert text not in [shot.prompt for shot in shown]


def test_few_shot_reads_its_training_rows_and_nothing_else(tiny_writer):
    dataset = toy_dataset(4)
    fitted = LabelFewShot(choose="tfidf").fit(material(tiny_writer, dataset.subset(range(5))))
    shown = [shot for shots in fitted.shots.shown([as_example(t, WORDS) for t in dataset.texts]) for shot in shots]
    assert {shot.prompt for shot in shown} <= set(dataset.texts[:5])
    told = {text: WORDS.words_of([label])[0] for text, label in zip(dataset.texts, dataset.labels, strict=True)}
    assert all(shot.completion == told[shot.prompt] for shot in shown)


def test_examples_give_way_to_a_long_text_and_a_long_label(tiny_writer):
    small = dataclasses.replace(tiny_writer, context=60)
    fitted = LabelFewShot(choose="tfidf").fit(material(small))
    counts = [len(shots) for shots in fitted.shots.shown([as_example("red " * n, WORDS) for n in (1, 15, 200)])]
    assert counts[0] > counts[1] >= counts[2] == 0
    assert fitted.predict_proba(["red " * 200]).shape == (1, 3)


def test_lora_learns_the_tokens_of_the_label_and_no_others(tiny_writer):
    method = LabelLoRA(least_steps=2, epochs=0.1)
    tunable = method.build(material(tiny_writer))
    for row, label in zip(tunable.rows, material(tiny_writer).labels, strict=True):
        (coded,) = row
        counted = [token for token, counts in zip(coded.ids, coded.counted, strict=True) if counts]
        wanted = tiny_writer.encode(Example("a", completion=WORDS.words_of(tuple(CLASSES))[label]), WORDS)
        assert counted == [token for token, counts in zip(wanted.ids, wanted.counted, strict=True) if counts]


def test_labels_are_never_exchanged(tiny_writer):
    with pytest.raises(UsageError, match=r"label_lora\.exchange"):
        LabelLoRA(exchange=0.5).build(material(tiny_writer))


def test_the_watched_loss_is_that_of_the_labels(tiny_writer):
    tunable = LabelLoRA().build(material(tiny_writer))
    tunable.train(False)
    loss = tunable.watched_loss(Watched(TEXTS, np.asarray([0, 1, 2])))
    said = WORDS.words_of(tuple(CLASSES))
    nats = [by_hand(tiny_writer, WORDS, text, words) for text, words in zip(TEXTS, said, strict=True)]
    assert loss == pytest.approx(-np.mean([value for row in nats for value in row]), abs=1e-4)


def test_a_seq2seq_model_is_tuned_and_asked_too(seq2seq):
    dataset = toy_dataset(4)
    fitted = fit(LabelLoRA(least_steps=4, epochs=0.1, rate=1e-2), material(seq2seq, dataset))
    before = LabelZeroShot(content_free=(), per_token=False).fit(material(seq2seq, dataset))
    right = np.arange(len(dataset)), [CODES[label] for label in dataset.labels]
    assert fitted.scores(dataset.texts)[right].mean() > before.scores(dataset.texts)[right].mean() + 1


def test_columns_of_a_text_are_set_apart_by_words_the_model_knows():
    assert as_example(f"one{PAIR}two", Template()).text == "one\ntwo"
    assert as_example(f"one{PAIR}two", Template(separator=" | ")).text == "one | two"


def test_the_layout_is_the_models_own_and_the_instruction_names_the_labels(tmp_path, tiny_writer):
    chat = load_language_model(make_tiny_writer(tmp_path / "chat", "gpt2", chat_template=CHAT))
    for model, layout in ((tiny_writer, "instruction"), (chat, "chat")):
        found = label_template(Template(prefix="Text: ", words=(("a_b", "red"),)), model, ("a_b", "CamelCase"))
        assert (found.layout, found.prefix) == (layout, "Text: ")
        assert "red, camel case" in found.instruction
        assert label_template(found, model, ("a_b", "CamelCase")) == found
    assert label_template(WORDS, chat, tuple(CLASSES)) == WORDS


def test_too_many_labels_are_not_listed(tiny_writer):
    classes = tuple(f"class number {n}" for n in range(200))
    assert label_template(Template(), tiny_writer, classes).instruction == UNLISTED


def test_two_labels_of_the_same_words_are_named():
    with pytest.raises(UsageError, match=r"'Refund_asked' and 'refund asked' are both called 'refund asked'.*--words"):
        label_words(Template(), ("Refund_asked", "late", "refund asked"))
    with pytest.raises(UsageError, match="'a' and 'b' are both called 'x'"):
        label_words(Template().with_words({"a": "x", "b": "x"}), ("a", "b"))


def test_two_labels_of_the_same_tokens_are_named(tiny_writer):
    """The tiny tokenizer lowers every case."""
    template = Template("instruction").with_words({"a": "Red", "b": "red"})
    with pytest.raises(UsageError, match="'a' and 'b' are the same to"):
        check_labels(template, tiny_writer, ("a", "b"))


def test_a_label_longer_than_the_context_is_named(tiny_writer):
    long = Template("instruction").with_words({"a": "red " * 600})
    with pytest.raises(UsageError, match=r"label 'a' are 600 tokens long.*context of 512 tokens.*--words"):
        check_labels(long, tiny_writer, ("a", "b"))
    check_labels(Template("instruction"), tiny_writer, tuple(CLASSES))


@pytest.mark.parametrize("settings", [{"shots": 0}, {"choose": "magic"}])
def test_few_shot_settings_that_cannot_be(settings):
    with pytest.raises(UsageError, match="label_few_shot: 1 shot or more, chosen by"):
        LabelFewShot(**settings)
