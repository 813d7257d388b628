"""Train the starter's tokenizer: byte-level BPE of 8,192 entries with a chat template, as a Hugging Face tokenizer.

    python starter/tokenizer.py [--corpus starter/build/corpus] [--out starter/build/model]

Bytes are the alphabet, so every text can be written and read back; digits stand alone, so a price is never one token.
`<|end|>` closes a document as well as a turn: a tuned model and the base model stop at the same token.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

BUILD = Path(__file__).parent / "build"
VOCABULARY = 8_192
CONTEXT = 512
PAD, BOS, END, SYSTEM, USER, ASSISTANT = SPECIAL = (
    "<|pad|>",
    "<|bos|>",
    "<|end|>",
    "<|system|>",
    "<|user|>",
    "<|assistant|>",
)
LEARNT_FROM = ("children", "general", "stories", "speeches", "t0", "dolly")
"""Sources the merges are learnt from; code and transcripts would spend entries on marks the starter seldom writes."""

CHAT_TEMPLATE = """\
{{- bos_token -}}
{%- for message in messages -%}
{%- if message['role'] == 'assistant' -%}
{{- '<|assistant|>' -}}{%- generation -%}{{- message['content'] + '<|end|>' -}}{%- endgeneration -%}
{%- elif message['role'] in ('system', 'user') -%}
{{- '<|' + message['role'] + '|>' + message['content'] + '<|end|>' -}}
{%- else -%}
{{- raise_exception("The roles are system, user and assistant, not " + message['role'] + ".") -}}
{%- endif -%}
{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|assistant|>' -}}{%- endif -%}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the starter's tokenizer.")
    parser.add_argument("--corpus", type=Path, default=BUILD / "corpus")
    parser.add_argument("--out", type=Path, default=BUILD / "model")
    given = parser.parse_args()
    tokenizer = train(texts(given.corpus / "train.jsonl", LEARNT_FROM))
    tokenizer.save_pretrained(given.out)
    print(f"{len(tokenizer)} entries in {given.out}")


def train(texts: Iterable[str], vocabulary: int = VOCABULARY) -> Any:
    """A `PreTrainedTokenizerFast` whose merges are learnt from the texts."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    bpe.train_from_iterator(texts, trainer)
    bpe.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, bpe.token_to_id(BOS))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token=BOS,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens=[SYSTEM, USER, ASSISTANT],
        model_max_length=CONTEXT,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        chat_template=CHAT_TEMPLATE,
    )


def texts(file: Path, sources: Iterable[str]) -> Iterator[str]:
    """The texts of the named sources; of a row, its prompt and its completion."""
    wanted = set(sources)
    with file.open(encoding="utf-8") as lines:
        for line in lines:
            document = json.loads(line)
            if document["source"] in wanted:
                yield document["text"] if "text" in document else document["prompt"] + "\n" + document["completion"]


def render(document: dict[str, str]) -> str:
    """A document or row as the text the starter is trained on, special tokens written out."""
    if "text" in document:
        return f"{BOS}{document['text']}{END}"
    return f"{asked(document)}{document['completion']}{END}"


def asked(row: dict[str, str]) -> str:
    """What a row's completion follows."""
    return f"{BOS}{USER}{row['prompt']}{END}{ASSISTANT}"


if __name__ == "__main__":
    main()
