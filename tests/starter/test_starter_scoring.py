import math

import bits_per_byte as measure
import numpy as np
import pretrain
import pytest
import torch
from scoring import CONTEXT, STRIDE, bits_per_byte, log2_probs
from test_pretrain import SETTINGS


@pytest.fixture(scope="module")
def model():
    made = pretrain.new_model(SETTINGS, vocabulary=100).eval()
    for layer in made.model.layers:
        torch.nn.init.normal_(layer.self_attn.o_proj.weight)
    made.config._attn_implementation = "sdpa"
    return made


def alone(model, tokens, position, context):
    """Log2 of the probability of one token after the given number of tokens before it."""
    before = torch.tensor([tokens[position - context : position]])
    with torch.no_grad():
        return float(model(input_ids=before).logits[0, -1].log_softmax(0)[tokens[position]]) / math.log(2)


def test_a_short_text_is_scored_token_by_token(model):
    tokens = [1, 5, 9, 7, 2]
    assert list(log2_probs(model, tokens)) == pytest.approx([alone(model, tokens, i, i) for i in range(1, 5)], abs=1e-4)


@pytest.mark.parametrize("length", [512, 513, 514, 896, 897, 898, 1300, 6000])
def test_every_token_of_a_long_text_is_scored_once(model, length):
    assert len(log2_probs(model, [i % 100 for i in range(length)])) == length - 1


def test_a_token_of_a_later_window_sees_at_least_the_overlap(model):
    tokens = np.random.default_rng(0).integers(100, size=1_000).tolist()
    scored = log2_probs(model, tokens)
    # Windows start STRIDE tokens apart and score what the one before did not: the first of it sees least.
    least = CONTEXT + 1 - STRIDE
    assert scored[511] == pytest.approx(alone(model, tokens, 512, 512), abs=1e-4)
    assert scored[512] == pytest.approx(alone(model, tokens, 513, least), abs=1e-4)
    assert scored[896] == pytest.approx(alone(model, tokens, 897, least), abs=1e-4)


def test_bits_of_every_token_are_divided_by_the_bytes_of_the_text():
    assert bits_per_byte(np.array([-3.0, -1.0, -2.0]), text_bytes=4) == 1.5


class Words:
    """A tokenizer of one token a character, special tokens as one."""

    def __call__(self, text, **ignored):
        for number, special in enumerate(measure.__dict__[name] for name in ("BOS", "END", "USER", "ASSISTANT")):
            text = text.replace(special, chr(number))
        return {"input_ids": [ord(char) for char in text]}


def one_bit_a_token(tokens):
    return -np.ones(len(tokens) - 1)


def test_a_book_is_scored_with_its_end():
    book = measure.whole("books", "one", "abcd", Words())
    assert (len(book.tokens), book.scored, book.bytes) == (6, 5, 4)
    assert measure.score([book], one_bit_a_token) == [5.0]


def test_the_beginning_of_a_book_ends_with_a_paragraph():
    book = "One é.\n\nTwo.\n\nThree."
    assert measure.beginning(book, None) == measure.beginning(book, 100) == book
    assert measure.beginning(book, 16) == "One é.\n\nTwo."
    assert measure.beginning(book, 5) == ""


def test_of_a_row_the_completion_and_its_end_alone_are_scored():
    row = measure.completion({"source": "t0", "prompt": "a long prompt", "completion": "yes"}, Words())
    assert (row.scored, row.bytes) == (4, 3)
    assert measure.score([row], one_bit_a_token) == [4.0]


def test_books_together_weigh_by_their_bytes_and_the_better_ngram_is_the_bar():
    texts = [
        measure.whole("books", "one", "ab", Words()),
        measure.whole("books", "two", "abcdef", Words()),
        *(measure.completion({"source": s, "prompt": "p", "completion": "cd"}, Words()) for s in ("t0", "dolly")),
        measure.whole("own_text", "own_text", "abc", Words()),
    ]
    bits = {
        name: [times * text.scored for text in texts] for name, times in (("starter", 1), ("ngram", 2), ("worse", 3))
    }
    result = measure.tables(texts, bits)
    assert result["held_out_books"] == {
        "books": 2,
        "bytes": 8,
        "starter": (3 + 7) / 8,
        "ngram": 2 * (3 + 7) / 8,
        "worse": 3 * (3 + 7) / 8,
        "starter_under_best_ngram": 0.5,
    }
    assert result["books"]["two"]["starter"] == round(7 / 6, 4)
    assert result["completions"]["dolly"]["starter"] == 3 / 2
    assert result["own_text"]["ngram"] == round(2 * 4 / 3, 4)
