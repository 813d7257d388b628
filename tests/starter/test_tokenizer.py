import pytest
import tokenizer
from tokenizer import ASSISTANT, BOS, END, SYSTEM, USER

TEXTS = ["The fox came down to the well at noon.", "Nobody answered, for the farmer was asleep.", "Good day, fox!"] * 20


@pytest.fixture(scope="module")
def small():
    return tokenizer.train(TEXTS, vocabulary=400)


@pytest.mark.parametrize(
    "text",
    [
        "The fox came down.",
        "  leading and  double blanks \n\n\t tabs",
        "emoji 😀👩‍👩‍👧 and Zürich, 東京, עברית",
        "".join(chr(code) for code in range(0x250)),
        "“quotes” — and ½ 1,234.50",
    ],
)
def test_every_text_comes_back_byte_for_byte(small, text):
    tokens = small(text, add_special_tokens=False)["input_ids"]
    assert small.decode(tokens, skip_special_tokens=True) == text


def test_common_words_are_one_token_and_digits_stand_alone(small):
    assert small.tokenize(" fox fox") == ["Ġfox", "Ġfox"]
    assert small.tokenize("1945") == ["1", "9", "4", "5"]


def test_special_tokens_come_first_and_a_text_is_opened_by_one(small):
    assert [small.convert_tokens_to_ids(token) for token in tokenizer.SPECIAL] == list(range(6))
    assert small("fox")["input_ids"][0] == small.bos_token_id == 1
    assert (small.eos_token, small.pad_token, small.padding_side) == (END, "<|pad|>", "left")


CHAT = [
    {"role": "system", "content": "Be short."},
    {"role": "user", "content": "Who came?"},
    {"role": "assistant", "content": "The fox."},
    {"role": "user", "content": "When?"},
    {"role": "assistant", "content": "At noon."},
]


def test_a_chat_is_rendered_as_the_training_text_is(small):
    assert small.apply_chat_template(CHAT[1:3], tokenize=False) == tokenizer.render(
        {"prompt": "Who came?", "completion": "The fox."}
    )
    assert small.apply_chat_template(CHAT[:2], tokenize=False, add_generation_prompt=True) == (
        f"{BOS}{SYSTEM}Be short.{END}{USER}Who came?{END}{ASSISTANT}"
    )


def test_the_assistant_mask_covers_its_words_and_their_end_and_nothing_else(small):
    encoded = small.apply_chat_template(CHAT, return_dict=True, return_assistant_tokens_mask=True)
    masked = [
        (small.decode([token]), mask)
        for token, mask in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True)
    ]
    expected = [(BOS, 0)]
    for message in CHAT:
        own = int(message["role"] == "assistant")
        words = [small.decode([t]) for t in small(message["content"], add_special_tokens=False)["input_ids"]]
        expected += [(f"<|{message['role']}|>", 0), *((word, own) for word in words), (END, own)]
    assert masked == expected


def test_an_unknown_role_is_refused(small):
    with pytest.raises(Exception, match="The roles are system, user and assistant, not tool"):
        small.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_a_saved_tokenizer_is_the_same_when_opened(small, tmp_path):
    from transformers import AutoTokenizer

    small.save_pretrained(tmp_path)
    opened = AutoTokenizer.from_pretrained(tmp_path)
    assert opened("The fox 😀")["input_ids"] == small("The fox 😀")["input_ids"]
    assert opened.apply_chat_template(CHAT, tokenize=False) == small.apply_chat_template(CHAT, tokenize=False)


def test_only_the_named_sources_are_read(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"source": "a", "text": "one"}\n{"source": "b", "prompt": "two", "completion": "three"}\n')
    assert list(tokenizer.texts(file, ["b"])) == ["two\nthree"]
    assert list(tokenizer.texts(file, ["a", "b"])) == ["one", "two\nthree"]
