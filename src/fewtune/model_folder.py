"""The folder a fitted classifier lives in: Hugging Face files, a PEFT adapter where one was trained, and a head.

Layout: `config.json`, `model.safetensors`, tokenizer files, `modules.json` and `1_Pooling/` (so that transformers and
sentence-transformers open it as an encoder), `adapter/` (PEFT), `head.safetensors`, `fewtune.json` (recipe, classes,
temperature); in `frozen/` an encoder like it, where the head reads the untuned one beside the tuned. A model that is
asked for labels lies there whole, with `labels.json` in place of pooling and head.
Safetensors only: a pickle among the weights is refused.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.errors import BackboneDamaged, StoreError, UnsafeWeights, UsageError
from fewtune.methods.base import Fitted, FloatArray
from fewtune.methods.labels.base import FittedLabels, LabelMethod
from fewtune.methods.templated import Templated
from fewtune.recipe import Recipe
from fewtune.study.store import advising

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

FORMAT = 1
CARD = "fewtune.json"


@dataclass(frozen=True)
class Model:
    """A fitted classifier ready to predict."""

    fitted: Fitted
    recipe: Recipe
    classes: tuple[str, ...]
    temperature: float = 1.0
    """Probabilities are softened (above 1) or sharpened (below 1) by it; fitted out of fold."""
    threshold: float | None = None
    """Confidence below which to abstain, if one was asked for and found."""
    columns: tuple[str, ...] = ()
    """The columns the texts it learned from were of: the text's, then those joined to it."""

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """[N, C] calibrated probabilities in the order of `classes`."""
        if not texts:
            return np.zeros((0, len(self.classes)))
        return calibrated(self.fitted.predict_proba(list(texts)), self.temperature)


def calibrated(probs_NC: FloatArray, temperature: float) -> FloatArray:
    """Probabilities at another temperature."""
    from fewtune.metrics.calibration import apply_temperature, log_probabilities

    return apply_temperature(log_probabilities(probs_NC), temperature)


def save(model: Model, encoder: Encoder | None, folder: Path) -> None:
    """Write the folder whole or not at all, in place of a model that was there.

    Raises
    ------
    StoreError : it cannot be written, or holds something that is no model and would be deleted.
    """
    save_whole(folder, lambda temporary: _write(model, encoder, temporary))


def save_whole(folder: Path, write: Callable[[Path], None]) -> None:
    """Have `write` fill a folder beside `folder`, then put it in its place. Raises as `save` does."""
    from safetensors import SafetensorError

    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise StoreError(f"{folder} is a file, where a model would be a folder. Name a new one.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / CARD).exists():
        raise StoreError(f"{folder} holds other files, which saving a model there would delete. Name a new folder.")
    temporary, replaced = (folder.with_name(f".{folder.name}.{os.getpid()}.{end}") for end in ("tmp", "old"))
    with advising(folder.parent):
        _sweep(folder)
        temporary.mkdir(parents=True)
        try:
            try:
                write(temporary)
            except SafetensorError as error:
                raise OSError(str(error)) from error
            # Deleted file by file, a kill would leave something that is neither a model nor to be written over.
            if folder.exists():
                folder.replace(replaced)
            temporary.replace(folder)
        finally:
            for rest in (temporary, replaced):
                shutil.rmtree(rest, ignore_errors=True)


def _sweep(folder: Path) -> None:
    """Delete what killed processes left beside `folder` while they were saving it; a running one's is its own."""
    for rest in folder.parent.glob(f".{glob.escape(folder.name)}.*.*"):
        _, process, end = rest.name.rsplit(".", 2)
        if end in ("tmp", "old") and process.isdigit() and not _running(int(process)):
            shutil.rmtree(rest, ignore_errors=True)


def _running(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except OSError as error:
        return isinstance(error, PermissionError)
    return True


def _write(model: Model, encoder: Encoder | None, folder: Path) -> None:
    from fewtune.backbones.keep import save_encoder
    from fewtune.backbones.language.keep import save_language_model
    from fewtune.backbones.quiet import quiet

    backbone = model.fitted.language_model if isinstance(model.fitted, FittedLabels) else encoder
    with quiet():
        model.fitted.save(folder)
        if isinstance(model.fitted, FittedLabels):
            save_language_model(model.fitted.language_model, folder)
        elif model.recipe.method.reads_text:
            assert encoder is not None
            save_encoder(encoder, folder)
    card = {
        "format": FORMAT,
        "task": "classification",
        "recipe": model.recipe.to_json(),
        "classes": list(model.classes),
        "temperature": model.temperature,
        "threshold": model.threshold,
        "columns": list(model.columns),
        "backbone_fingerprint": None if backbone is None else backbone.fingerprint,
    }
    (folder / CARD).write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def load(folder: str | Path) -> Model:
    """Open a model folder, or a result folder that holds one as `model/`.

    Raises
    ------
    UsageError : there is no such folder, or nothing fewtune wrote in it.
    BackboneDamaged : a file is missing, unreadable, or of a format this version does not know.
    UnsafeWeights : weights are there as a pickle only.
    """
    folder = find(Path(folder))
    card = read_card(folder)
    if card.get("task", "classification") != "classification":
        raise UsageError(f"{folder} holds a model that writes: `fewtune generate {folder}`, or fewtune.load_writer.")
    recipe = Recipe.from_json(card["recipe"])
    classes = tuple(card["classes"])
    try:
        encoder = _encoder(folder, folds_in=recipe.method.folds_in) if recipe.method.embeds else None
        fitted = _fitted(folder, recipe, classes, encoder)
        answer_1C = fitted.predict_proba(["a"])  # files that do not fit together fail here and not on the person's rows
    except BackboneDamaged as error:
        raise error.of_a_fit() from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise BackboneDamaged(f"{folder} is damaged ({error}). Fit again, or restore it.") from error
    if answer_1C.shape != (1, len(classes)):
        raise BackboneDamaged(
            f"{folder}: the head knows {answer_1C.shape[1]} classes, {CARD} names {len(classes)}. Fit again."
        )
    columns = tuple(map(str, card.get("columns") or ()))
    return Model(fitted, recipe, classes, card["temperature"], card["threshold"], columns)


def _fitted(folder: Path, recipe: Recipe, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
    from fewtune.backbones.language.load import load_language_model

    method = type(recipe.method)
    if issubclass(method, LabelMethod):
        # In the precision it was judged in: its probabilities were calibrated there.
        return method.load_labels(folder, classes, load_language_model(folder, precision="float32"))
    fitted = method.load(folder, classes, encoder)
    return fitted if encoder is None else Templated(fitted, recipe.template.bind(encoder.tokenizer))


def text_columns(folder: str | Path) -> tuple[str, ...]:
    """`Model.columns` without opening the model. Raises as `load` does."""
    return tuple(map(str, read_card(find(Path(folder))).get("columns") or ()))


def find(folder: Path) -> Path:
    """The model folder itself, or the one in the folder of a fit. Raises UsageError."""
    for candidate in (folder, folder / "model"):
        if (candidate / CARD).exists():
            return candidate
    if not folder.exists():
        raise UsageError(f"There is no folder {folder}. Give the folder that `fewtune fit --out` wrote.")
    raise UsageError(f"{folder} holds no model written by fewtune ({CARD} is missing). Give the folder of a fit.")


def read_card(folder: Path) -> dict[str, Any]:
    """`fewtune.json`, looked over. Raises BackboneDamaged."""
    try:
        card = json.loads((folder / CARD).read_text(encoding="utf-8"))
        if card["format"] != FORMAT:
            what = f"{folder / CARD} has format {card['format']}, this fewtune reads {FORMAT}. Update it."
            raise BackboneDamaged(what)
        _check_card(card)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        what = f"{folder / CARD} is damaged ({type(error).__name__}). Fit again, or restore it."
        raise BackboneDamaged(what) from error
    return dict(card)


def _check_card(card: dict[str, Any]) -> None:
    """Raises TypeError or KeyError where a value is missing or of another kind than `save` writes."""
    if card.get("task", "classification") != "classification":
        if not isinstance(card["recipe"], dict):
            raise TypeError("a value of another kind")
        return
    threshold = card["threshold"]
    whole = (
        isinstance(card["recipe"], dict)
        and isinstance(card["classes"], list)
        and len(card["classes"]) > 0
        and all(isinstance(name, str) for name in card["classes"])
        and isinstance(card["temperature"], int | float)
        and card["temperature"] > 0
        and isinstance(card.get("columns", []), list)
        and (threshold is None or isinstance(threshold, int | float))
    )
    if not whole:
        raise TypeError("a value of another kind")


def _encoder(folder: Path, *, folds_in: bool) -> Encoder:
    from fewtune.backbones.load import load_encoder

    encoder = load_encoder(folder)
    adapter = folder / "adapter"
    if not adapter.exists():
        return encoder
    if not (adapter / "adapter_model.safetensors").exists():
        pickle = adapter / "adapter_model.bin"
        if pickle.exists():
            raise UnsafeWeights(f"{pickle} is a pickle, which can run any code when opened: refused. Fit again.")
        raise BackboneDamaged(f"{adapter} has no adapter_model.safetensors. Fit again, or restore it.")
    return _with_adapter(encoder, adapter) if folds_in else encoder


def _with_adapter(encoder: Encoder, adapter: Path) -> Encoder:
    from peft import PeftModel

    from fewtune.backbones.encoder import Encoder as EncoderClass
    from fewtune.backbones.quiet import quiet

    try:
        with quiet():
            merged = PeftModel.from_pretrained(encoder.model, str(adapter)).merge_and_unload()
    except Exception as error:  # a damaged adapter fails in many ways inside the library
        raise BackboneDamaged(f"{adapter} could not be opened ({type(error).__name__}). Fit again.") from error
    return EncoderClass(
        merged,
        encoder.tokenizer,
        name=encoder.name,
        # Opened as a plain backbone the same files, without the adapter, say something else.
        fingerprint=f"{encoder.fingerprint}-adapted",
        pooling=encoder.pooling,
        max_tokens=encoder.max_tokens,
        folder=encoder.folder,
    )
