"""Parts of a text stand apart by the backbone's own separator: the tokens are those of the tokenizer's own pair."""

import pytest
from transformers import AutoTokenizer

from fewtune.backbones.load import load_encoder
from fewtune.data.pairs import NO_SEPARATOR, PAIR, joined, own_separator
from fewtune.data.templates import PLAIN, Template


@pytest.mark.parametrize("between", ["[SEP]", "[SEP] [SEP]"])  # BERT's way, and RoBERTa's
def test_tokens_of_a_joined_text_are_those_of_the_pair(tiny_folders, between):
    from tokenizers import processors

    tokenizer = AutoTokenizer.from_pretrained(tiny_folders("bert"))
    ends = [(token, tokenizer.convert_tokens_to_ids(token)) for token in ("[CLS]", "[SEP]")]
    one, two = "[CLS] $A [SEP]", f"[CLS] $A {between} $B [SEP]"
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(one, two, special_tokens=ends)
    rendered = PLAIN.bind(tokenizer)(joined(["the parcel is late", "money back"]))
    assert tokenizer(rendered)["input_ids"] == tokenizer("the parcel is late", "money back")["input_ids"]
    assert own_separator(tokenizer) == between.replace(" ", "")


def test_the_default_backbones_separator():
    encoder = load_encoder("default")
    rendered = PLAIN.bind(encoder.tokenizer)(f"late parcel{PAIR}money back")
    assert encoder.tokens([rendered])[0] == list(encoder.tokenizer("late parcel", "money back")["input_ids"])


def test_a_separator_asked_for_is_taken(tiny_encoder):
    assert Template(separator=" | ").bind(tiny_encoder.tokenizer)(joined(["a", "b", "c"])) == "a | b | c"


def test_a_text_of_one_part_is_left_as_it_is(tiny_encoder):
    assert PLAIN.bind(tiny_encoder.tokenizer)("as it\n is ") == "as it\n is "


class TwoTextsApartByNothing:
    """As the tokenizers of causal models do it."""

    all_special_ids = (0,)
    unk_token_id = None

    def __call__(self, first, second):
        return {"input_ids": [0, 5, 6]}

    def convert_ids_to_tokens(self, ids):
        return [str(token) for token in ids]


@pytest.mark.parametrize("tokenizer", [None, TwoTextsApartByNothing()])
def test_a_line_break_where_the_tokenizer_has_no_separator(tokenizer):
    assert own_separator(tokenizer) == NO_SEPARATOR
