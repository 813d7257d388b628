"""Find and open a model that writes: the starter, a folder, a Hub name, a PEFT adapter, a fewtune model folder.

The rules are those of `backbones/load.py`: safetensors only, no code that comes with a model, clear words offline.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import torch

from fewtune.backbones.language.asked import mend_chat_template
from fewtune.backbones.language.bottleneck import FILE, with_bottlenecks
from fewtune.backbones.language.model import Kind, LanguageModel
from fewtune.backbones.language.virtual import virtual_tokens
from fewtune.backbones.load import fingerprint, locate, open_tokenizer, open_weights, refuse_holes, refuse_pickle, short
from fewtune.backbones.precision import Precision, detect, device
from fewtune.backbones.quiet import quiet
from fewtune.backbones.team import Team
from fewtune.data.templates.base import Template
from fewtune.errors import DOWNLOAD, BackboneDamaged, BackboneMissing, UnsafeWeights, UsageError

DEFAULT, STARTER = "default", "starter"
STARTER_PACKAGE = "fewtune_starter"
UNSTATED = 1024
"""Context of a model that states none, as T5."""
FEW_TOKENS = 0.9
"""Models keep a few hundred tokens to spare; a tokenizer that knows less than this share of them looks foreign."""
CARD = "fewtune.json"
ADAPTER = "adapter_config.json"


def load_language_model(
    name: str | Path = DEFAULT,
    *,
    precision: Precision | None = None,
    context: int | None = None,
    team: Team | None = None,
) -> LanguageModel:
    """Open a causal or seq2seq model, nothing in it trainable.

    Parameters
    ----------
    name : `default` or `starter` (from the package fewtune-starter), a Hugging Face folder, a Hub name, a PEFT adapter
        folder, or the folder of a fit (`model/` in it is found).
    precision : of the weights; None: what this machine is fast in (`backbones/precision.py`). Weights that will be
        trained whole are better opened in `float32`.
    context : most tokens, where fewer than the model can read are wanted.
    team : the processes that will share the weights; they then stay in main memory until a run shares them out.

    Raises
    ------
    BackboneMissing : not on disk, and not to be had from the Hub.
    BackboneDamaged : a file is missing, unreadable, or does not fit the others; or the model does not write.
    UnsafeWeights : the weights are only there as a pickle.
    """
    folder = _model_folder(_find(str(name)))
    card = _json(folder / CARD) if (folder / CARD).exists() else {}
    adapter = _adapter(folder)
    base = _base(folder, adapter, card)
    refuse_pickle(base)
    kind = kind_of(base)
    dtype = torch.bfloat16 if (precision or detect()) == "bf16" else torch.float32
    # What is shared out is large: it is never held in float32 where that is not wanted.
    model = _open(base, kind, torch.float32 if team is None else dtype)
    tokenizer = _tokenizer(folder if (folder / "tokenizer_config.json").exists() else base)
    _check_vocabulary(base, model, tokenizer)
    hashes = [fingerprint(base)]
    if adapter is not None:
        model = _with_adapter(model, adapter)
        hashes.append(fingerprint(adapter))
    model = with_bottlenecks(model, folder)
    if (folder / FILE).exists():
        hashes.append(hashlib.sha256((folder / FILE).read_bytes()).hexdigest()[:16])
    place = device() if team is None else torch.device("cpu")
    model = model.to(device=place, dtype=dtype).eval().requires_grad_(False)
    opened = _assembled(model, tokenizer, kind, str(name), "-".join(hashes), folder, card, context)
    opened.team = team
    return opened


def _find(name: str) -> Path:
    if name not in (DEFAULT, STARTER):
        return locate(name)
    spec = importlib.util.find_spec(STARTER_PACKAGE)
    if spec is None:
        raise BackboneMissing(
            "The starter model is not installed. Install it with: pip install fewtune-starter, "
            "or name a folder or a Hugging Face model with --backbone."
        )
    return Path(importlib.import_module(STARTER_PACKAGE).path())


def _model_folder(folder: Path) -> Path:
    """The model inside the folder of a fit."""
    if not (folder / "config.json").exists() and (folder / "model" / CARD).exists():
        return folder / "model"
    return folder


def _adapter(folder: Path) -> Path | None:
    """Where a PEFT adapter lies: the folder itself, or `adapter` in it."""
    found = next((place for place in (folder, folder / "adapter") if (place / ADAPTER).exists()), None)
    if found is None or (found / "adapter_model.safetensors").exists():
        return found
    pickle = found / "adapter_model.bin"
    if pickle.exists():
        raise UnsafeWeights(
            f"{pickle} is a pickle, which can run any code when opened: refused. Save the adapter as safetensors."
        )
    raise BackboneDamaged(f"{found} has no adapter_model.safetensors. Download it again, or fit again.")


def _base(folder: Path, adapter: Path | None, card: dict[str, Any]) -> Path:
    """The folder of the whole weights that an adapter stands on; the folder itself where they are in it."""
    if (folder / "config.json").exists() or adapter is None:
        return folder
    recipe = card.get("recipe")
    stated = recipe.get("backbone") if isinstance(recipe, dict) else None
    named = stated or _json(adapter / ADAPTER).get("base_model_name_or_path")
    if not isinstance(named, str) or not named:
        raise BackboneDamaged(f"{adapter / ADAPTER} does not name the model it was trained on. Put its name there.")
    try:
        return _find(named)
    except BackboneMissing as error:
        raise BackboneMissing(f"{adapter} was trained on {named}, which is needed to open it. {error}") from error


def kind_of(folder: Path) -> Kind:
    """Causal or seq2seq, by the config. Raises BackboneDamaged for a model that does not write."""
    config = _json(folder / "config.json")
    said = [str(name) for name in config.get("architectures") or ()]
    if any(name.endswith(("ForConditionalGeneration", "ForSeq2SeqLM")) for name in said):
        return "seq2seq"
    if any(name.endswith(("ForCausalLM", "LMHeadModel")) for name in said):
        return "causal"
    if config.get("is_encoder_decoder"):
        return "seq2seq"
    if said or config.get("is_decoder") is False:
        raise BackboneDamaged(
            f"{folder} is a {said[0] if said else config.get('model_type')}, which writes nothing. "
            "Name a causal model (GPT-2, Llama, Qwen) or a seq2seq model (T5)."
        )
    return "causal"


def _json(path: Path) -> dict[str, Any]:
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise BackboneDamaged(f"{path} is damaged ({type(error).__name__}).", DOWNLOAD) from error
    if not isinstance(plain, dict):
        raise BackboneDamaged(f"{path} is damaged (no object).", DOWNLOAD)
    return plain


def _open(folder: Path, kind: Kind, dtype: torch.dtype) -> Any:
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    cls = AutoModelForSeq2SeqLM if kind == "seq2seq" else AutoModelForCausalLM
    with quiet():
        try:
            model, info = open_weights(cls, folder, dtype=dtype)
        except Exception as error:  # unreadable config, truncated tensors, unknown architecture
            raise BackboneDamaged(
                f"{folder} could not be opened as a model that writes ({type(error).__name__}: {short(error)}).",
                "Download it again, or check that it is a causal or seq2seq model with config.json and safetensors.",
            ) from error
    refuse_holes(folder, info)
    return model


def _tokenizer(folder: Path) -> Any:
    with quiet():
        try:
            return open_tokenizer(folder)
        except Exception as error:  # missing or unreadable files, an unknown class
            raise BackboneDamaged(
                f"{folder} has no tokenizer that can be opened ({type(error).__name__}: {short(error)}).",
                "Download the model again, with tokenizer.json.",
            ) from error


def _check_vocabulary(folder: Path, model: Any, tokenizer: Any) -> None:
    largest = max(tokenizer.get_vocab().values(), default=-1)
    known = int(model.get_input_embeddings().weight.shape[0])
    if largest >= known:
        raise BackboneDamaged(
            f"{folder}: the tokenizer knows token {largest} but the model has {known}. "
            "Tokenizer and model do not belong together: download both again."
        )


def _few_tokens(name: str, model: Any, tokenizer: Any) -> list[str]:
    """A note where the tokenizer knows far fewer tokens than the model: it may be another's."""
    largest, known = max(tokenizer.get_vocab().values(), default=-1), int(model.get_input_embeddings().weight.shape[0])
    if largest + 1 >= FEW_TOKENS * known:
        return []
    what = f"The tokenizer of {name} knows {largest + 1} tokens of the model's {known}"
    return [f"{what}: if answers make no sense, it is another model's."]


def _with_adapter(model: Any, adapter: Path) -> Any:
    """The model with the adapter merged into its weights, where its kind can be."""
    from peft import PeftModel

    with quiet():
        try:
            whole = PeftModel.from_pretrained(model, str(adapter))
            return whole.merge_and_unload() if hasattr(whole, "merge_and_unload") else whole
        except Exception as error:  # a damaged adapter fails in many ways inside the library
            raise BackboneDamaged(
                f"{adapter} could not be opened on its model ({type(error).__name__}: {short(error)}). "
                "Check that it was trained on this model, or fit again."
            ) from error


def _assembled(
    model: Any,
    tokenizer: Any,
    kind: Kind,
    name: str,
    fingerprint: str,
    folder: Path,
    card: dict[str, Any],
    context: int | None,
) -> LanguageModel:
    notes = [*_few_tokens(name, model, tokenizer), *mend_chat_template(name, tokenizer)]
    end = _end_id(model, tokenizer)
    if end is None:
        notes.append(f"{name} has no token that ends a text: answers end at --max-new-tokens or at a stop string.")
    if tokenizer.pad_token_id is None:
        # Batches need one; masks say what is padding, so any token will do.
        tokenizer.pad_token = tokenizer.convert_ids_to_tokens(0 if end is None else end)
    lead = _lead(tokenizer) if kind == "causal" else ()
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else (lead[0] if lead else end)
    recipe = card.get("recipe")
    template = recipe.get("template") if isinstance(recipe, dict) else None
    return LanguageModel(
        model=model,
        tokenizer=tokenizer,
        kind=kind,
        name=name,
        fingerprint=fingerprint,
        context=_context(model, tokenizer, context) - virtual_tokens(model),
        folder=folder,
        pad_id=int(tokenizer.pad_token_id),
        start_id=start,
        end_id=end,
        lead=lead,
        notes=notes,
        template=Template.from_json(template) if isinstance(template, dict) else None,
        card=card,
    )


def _end_id(model: Any, tokenizer: Any) -> int | None:
    """The tokenizer's end, else the model's, else the separator of a tokenizer made for encoders."""
    if tokenizer.eos_token_id is not None:
        return int(tokenizer.eos_token_id)
    stated = getattr(model.config, "eos_token_id", None)
    stated = stated[0] if isinstance(stated, list) and stated else stated
    # A config may name a token of another tokenizer.
    if isinstance(stated, int) and 0 <= stated < len(tokenizer):
        return stated
    return None if tokenizer.sep_token_id is None else int(tokenizer.sep_token_id)


def _lead(tokenizer: Any) -> tuple[int, ...]:
    """Special tokens the tokenizer puts before a text."""
    ids = tokenizer("a")["input_ids"]
    bare = tokenizer("a", add_special_tokens=False)["input_ids"]
    places = [place for place in range(len(ids)) if ids[place : place + len(bare)] == bare]
    return tuple(ids[: places[0]]) if places else ()


def _context(model: Any, tokenizer: Any, asked: int | None) -> int:
    config = model.config
    stated = [getattr(config, name, None) for name in ("max_position_embeddings", "n_positions")]
    relative = config.model_type in ("t5", "mt5", "umt5", "switch_transformers")
    limits = [int(one) for one in stated if isinstance(one, int) and one > 0 and not relative]
    # Tokenizers without a limit say a number of thirty digits.
    own = int(tokenizer.model_max_length) if tokenizer.model_max_length < 1 << 24 else None
    found = min([*limits, *([own] if own else [])], default=UNSTATED)
    if asked is not None and asked < 8:
        raise UsageError(f"A context of {asked} tokens holds nothing. Give at least 8.")
    return found if asked is None else min(asked, found) if limits else asked
