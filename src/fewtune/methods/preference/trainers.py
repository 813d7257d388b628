"""TRL's trainers, built for their losses: DPO, ORPO and KTO are computed by TRL, line for line.

What is fewtune's stays fewtune's: rows come as tokens in the template of the first stage, the reference is worked out
once for all runs (`reference.py`), and the steps, seeds, checkpoints and stops are those of every other method
(`tune/loop.py`). So nothing is written where the trainer would, nothing is reported anywhere, and a run that was
interrupted goes on where it stood.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import torch

from fewtune.backbones.precision import device
from fewtune.backbones.quiet import quiet
from fewtune.errors import MissingExtra

EXTRA = "prefer"
UNUSED = 1024
"""A length to cut rows to, for a trainer that must have one and cuts none here."""


def require_trl() -> None:
    """Raises MissingExtra where TRL is not installed."""
    import importlib.util

    if importlib.util.find_spec("trl") is None:
        raise MissingExtra("TRL", EXTRA, "Preference tuning")


def load_trl() -> None:
    """Import it now. Raises MissingExtra."""
    require_trl()
    with quiet():
        _classes()


def dpo_trainer(model: Any, tokenizer: Any, *, beta: float, loss_type: str, smoothing: float) -> Any:
    """TRL's DPOTrainer around a model whose reference costs come with each batch."""
    require_trl()
    with _building() as folder:
        from trl import DPOConfig

        own = {"beta": beta, "loss_type": [loss_type], "label_smoothing": smoothing}
        args = DPOConfig(**_common(folder), **own, precompute_ref_log_probs=True)
        made = _classes()["dpo"](model=model, args=_alone(args), train_dataset=_one_row(), processing_class=tokenizer)
    return made


def kto_trainer(model: Any, tokenizer: Any, *, beta: float, wanted_weight: float, unwanted_weight: float) -> Any:
    """TRL's KTOTrainer around a model whose reference costs come with each batch."""
    require_trl()
    with _building() as folder:
        from trl import KTOConfig

        weights = {"desirable_weight": wanted_weight, "undesirable_weight": unwanted_weight}
        own = {"beta": beta, **weights, "train_sampling_strategy": "sequential"}
        args = KTOConfig(**_common(folder), **own, precompute_ref_log_probs=True)
        made = _classes()["kto"](model=model, args=_alone(args), train_dataset=_one_row(), processing_class=tokenizer)
    return made


def orpo_trainer(model: Any, tokenizer: Any, *, beta: float) -> Any:
    """TRL's ORPOTrainer; it needs no reference."""
    require_trl()
    with _building() as folder:
        from trl.experimental.orpo import ORPOConfig

        # What it would say of lengths and columns is of rows that it never sees.
        args = ORPOConfig(**{**_common(folder), "max_length": UNUSED}, beta=beta, remove_unused_columns=False)
        made = _classes()["orpo"](model=model, args=_alone(args), train_dataset=_NoRows(), processing_class=tokenizer)
    return made


def _common(folder: str) -> dict[str, Any]:
    """What no trainer may do by itself: report, save, log, cast, or choose another precision than the run's."""
    silent = {"report_to": "none", "save_strategy": "no", "logging_strategy": "no", "disable_tqdm": True}
    plain = {"bf16": False, "fp16": False, "gradient_checkpointing": False, "dataloader_pin_memory": False}
    return {"output_dir": folder, "max_length": None, "use_cpu": device().type == "cpu", **silent, **plain}


def _alone(args: Any) -> Any:
    """On a machine with several GPUs the model stays on the one it is on."""
    if args.n_gpu > 1:
        args._n_gpu = 1
    return args


def _one_row() -> Any:
    """The trainers want rows when they are built; batches come later, already as tokens."""
    from datasets import Dataset

    return Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c", "label": True}])


class _NoRows:
    """The same for the trainer that takes anything with a length and `map`."""

    def __len__(self) -> int:
        return 1

    def map(self, *_: Any, **__: Any) -> _NoRows:
        """Nothing to change."""
        return self


@cache
def _classes() -> dict[str, type[Any]]:
    """TRL's trainers without what they do when built: no rows to tokenise, no reference pass, no word sent home."""
    from trl import DPOTrainer, KTOTrainer
    from trl.experimental.orpo import ORPOTrainer

    class Quiet:
        def _send_telemetry(self) -> None:
            """Fewtune sends nothing anywhere."""

        def _prepare_dataset(self, dataset: Any, *_: Any) -> Any:
            return dataset

        def _precompute_ref_logps(self, dataset: Any, *_: Any) -> Any:
            return dataset

    bases = {"dpo": DPOTrainer, "kto": KTOTrainer, "orpo": ORPOTrainer}
    return {name: type(f"Quiet{base.__name__}", (Quiet, base), {}) for name, base in bases.items()}


@contextlib.contextmanager
def _building() -> Iterator[str]:
    """A folder that is gone afterwards, no noise, and the streams of chance as they were: trainers seed them all."""
    streams = random.getstate(), np.random.get_state()
    try:
        with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng(), quiet():
            yield folder
    finally:
        random.setstate(streams[0])
        np.random.set_state(streams[1])


__all__ = ["dpo_trainer", "kto_trainer", "load_trl", "orpo_trainer", "require_trl"]
