"""Real backbones of a few thousand random weights, written to disk as Hugging Face folders: the stand-in for big ones.

Every architecture is transformers' own code; only the sizes are small. Their vocabulary is that of `toys`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fewtune.backbones.quiet import quiet
from fewtune.testing.toys import WORDS

SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
WIDTH = 32
LAYERS = 3


def _sizes() -> dict[str, Any]:
    return {
        "vocab_size": len(_vocabulary()),
        "hidden_size": WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 2,
        "intermediate_size": 2 * WIDTH,
        "max_position_embeddings": 66,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "cls_token_id": 2,
        "eos_token_id": 3,
        "sep_token_id": 3,
    }


def _bert() -> Any:
    from transformers import BertConfig, BertModel

    return BertModel(BertConfig(**_sizes()))


def _roberta() -> Any:
    from transformers import RobertaConfig, RobertaModel

    return RobertaModel(RobertaConfig(**_sizes(), type_vocab_size=1))


def _distilbert() -> Any:
    from transformers import DistilBertConfig, DistilBertModel

    return DistilBertModel(DistilBertConfig(**_sizes(), hidden_dim=2 * WIDTH))


def _modernbert() -> Any:
    from transformers import ModernBertConfig, ModernBertModel

    # A short window, so that its local layers differ from its global ones on toy texts.
    return ModernBertModel(ModernBertConfig(**_sizes(), local_attention=4))


def _deberta() -> Any:
    from transformers import DebertaV2Config, DebertaV2Model

    # The choices of DeBERTa-v3, whose attention needs relative positions in every layer.
    relative = {"relative_attention": True, "pos_att_type": "p2c|c2p", "position_buckets": 8, "share_att_key": True}
    return DebertaV2Model(
        DebertaV2Config(**_sizes(), **relative, norm_rel_ebd="layer_norm", position_biased_input=False)
    )


def _albert() -> Any:
    from transformers import AlbertConfig, AlbertModel

    return AlbertModel(AlbertConfig(**_sizes(), embedding_size=16))


ARCHITECTURES: dict[str, Callable[[], Any]] = {
    "bert": _bert,
    "roberta": _roberta,
    "distilbert": _distilbert,
    "modernbert": _modernbert,
    "deberta": _deberta,
    "albert": _albert,
}
"""By name: a model with random weights. ALBERT's layers are one layer, shared."""


def _vocabulary() -> dict[str, int]:
    pieces = [*SPECIAL.values(), *sorted(set(WORDS)), "##s", "##ing", *"abcdefghijklmnopqrstuvwxyz0123456789.,!?'"]
    return {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}


def tiny_tokenizer(*, max_tokens: int = 64) -> Any:
    """A lower-casing WordPiece tokenizer over the toy words."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    vocabulary = _vocabulary()
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    one, two = "[CLS] $A [SEP]", "[CLS] $A [SEP] $B [SEP]"
    backend.post_processor = processors.TemplateProcessing(single=one, pair=two, special_tokens=ends)
    return PreTrainedTokenizerFast(tokenizer_object=backend, model_max_length=max_tokens, **SPECIAL)


def make_tiny_backbone(folder: Path, architecture: str = "bert", *, pooling: str | None = None, seed: int = 0) -> Path:
    """Write one as a Hugging Face folder.

    Parameters
    ----------
    folder : written to; made where it is not there.
    architecture : a key of `ARCHITECTURES`.
    pooling : `mean`, `cls`, `max` or `lasttoken` adds sentence-transformers' files, which ask for it.
    seed : of the random weights.
    """
    import torch

    with torch.random.fork_rng(), quiet():
        torch.manual_seed(seed)
        model = ARCHITECTURES[architecture]()
        model.save_pretrained(folder)
        tiny_tokenizer().save_pretrained(folder)
    if pooling is not None:
        modules = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
        modules += [{"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"}]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir(exist_ok=True)
        flags = {f"pooling_mode_{mode}": False for mode in ("mean_tokens", "cls_token", "max_tokens", "lasttoken")}
        asked = next(flag for flag in flags if flag.startswith(f"pooling_mode_{pooling}"))
        config = {"word_embedding_dimension": WIDTH, **flags, asked: True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
        (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 32}))
    return folder
