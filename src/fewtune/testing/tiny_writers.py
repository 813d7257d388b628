"""Tiny language models that write, with random weights and tokenizers of three kinds, as Hugging Face folders.

Architectures are transformers' own; the tokenizers are trained on a few sentences in a moment.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fewtune.backbones.quiet import quiet

TEXT = (
    "name[The Mill], food[Italian], area[riverside]",
    "The Mill serves Italian food at the riverside.",
    "name[Blue Spice], food[French], price[cheap]",
    "Blue Spice is a cheap French place. Is it good? Yes, it is!",
    "red green blue one two three cat dog\n\nInstruction: Text: Answer: user assistant system",
    *("one", "two", "red", "green", "one\ntwo\nred\ngreen") * 9,
)
CHAT = (
    "{% for m in messages %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
"""A chat template without marks for what is generated."""
MARKED_CHAT = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<|assistant|>\n"
    "{% generation %}{{ m.content }}<|end|>{% endgeneration %}{{ '\\n' }}"
    "{% else %}<|{{ m.role }}|>\n{{ m.content }}<|end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
ROLES = ("<|user|>", "<|assistant|>", "<|system|>", "<|end|>")


def byte_level(texts: Sequence[str] = TEXT) -> Any:
    """BPE over bytes, as GPT-2's and Llama 3's; puts nothing before a text."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|pad|>", "<|endoftext|>", *ROLES],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<|pad|>", eos_token="<|endoftext|>", additional_special_tokens=list(ROLES)
    )


def byte_fallback(texts: Sequence[str] = TEXT) -> Any:
    """As sentencepiece's for Llama 2: a space before every text, bytes for what is unknown, `<s>` first, no padding."""
    from tokenizers import Tokenizer, decoders, models, normalizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    learner = Tokenizer(models.BPE(unk_token="<unk>"))
    spaces = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learner.normalizer = spaces
    special = ["<unk>", "<s>", "</s>"]
    learner.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=200, special_tokens=special, show_progress=False, max_token_length=8)
    )
    learned = json.loads(learner.to_str())["model"]
    names = [*special, *(f"<0x{byte:02X}>" for byte in range(256))]
    names += [name for name in sorted(learned["vocab"], key=learned["vocab"].get) if name not in special]
    backend = Tokenizer(
        models.BPE(
            {name: number for number, name in enumerate(names)},
            [tuple(pair) for pair in learned["merges"]],
            unk_token="<unk>",
            fuse_unk=True,
            byte_fallback=True,
        )
    )
    backend.normalizer = spaces
    backend.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    backend.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=backend, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def word_pieces(texts: Sequence[str] = TEXT) -> Any:
    """A lower-casing WordPiece tokenizer: `[CLS]` before a text, `[SEP]` after it, no end of its own."""
    from fewtune.testing.tiny_backbones import tiny_tokenizer

    del texts
    return tiny_tokenizer(max_tokens=512)


def t5_like(texts: Sequence[str] = TEXT) -> Any:
    """Unigram with `</s>` after every text, as T5's."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    backend.decoder = decoders.Metaspace()
    special = ["<pad>", "</s>", "<unk>"]
    alphabet = sorted({letter for text in texts for letter in text if not letter.isspace()})
    backend.train_from_iterator(
        texts,
        trainers.UnigramTrainer(
            vocab_size=180, special_tokens=special, unk_token="<unk>", initial_alphabet=alphabet, show_progress=False
        ),
    )
    backend.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_max_length=512
    )


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "byte_level": byte_level,
    "byte_fallback": byte_fallback,
    "word_pieces": word_pieces,
    "t5_like": t5_like,
}


def _llama(tokens: int, ends: dict[str, Any]) -> Any:
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "intermediate_size": 64, "max_position_embeddings": 512}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2}
    return LlamaForCausalLM(LlamaConfig(vocab_size=tokens, tie_word_embeddings=True, **sizes, **heads, **ends))


def _gpt2(tokens: int, ends: dict[str, Any]) -> Any:
    from transformers import GPT2Config, GPT2LMHeadModel

    return GPT2LMHeadModel(GPT2Config(vocab_size=tokens, n_positions=512, n_embd=32, n_layer=2, n_head=4, **ends))


def _t5(tokens: int, ends: dict[str, Any]) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    sizes = {"d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
    return T5ForConditionalGeneration(T5Config(vocab_size=tokens, decoder_start_token_id=0, **sizes, **ends))


ARCHITECTURES: dict[str, Callable[[int, dict[str, Any]], Any]] = {"llama": _llama, "gpt2": _gpt2, "t5": _t5}
USUAL = {"llama": "byte_fallback", "gpt2": "byte_level", "t5": "t5_like"}


def make_tiny_writer(
    folder: Path,
    architecture: str = "llama",
    *,
    tokenizer: str | None = None,
    chat_template: str | None = None,
    seed: int = 0,
) -> Path:
    """Write one as a Hugging Face folder.

    Parameters
    ----------
    folder : written to; made where it is not there.
    architecture : a key of `ARCHITECTURES`.
    tokenizer : a key of `TOKENIZERS`; None for what such models usually have.
    chat_template : put into the tokenizer.
    seed : of the random weights.
    """
    import torch

    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        made = TOKENIZERS[tokenizer or USUAL[architecture]]()
        if chat_template is not None:
            made.chat_template = chat_template
        ends = {"pad_token_id": made.pad_token_id, "eos_token_id": made.eos_token_id, "bos_token_id": made.bos_token_id}
        model = ARCHITECTURES[architecture](len(made), ends)
        model.save_pretrained(folder)
        made.save_pretrained(folder)
    return folder
