"""A training state on disk: weights and moments as safetensors, the rest as JSON; written whole or not at all.

A checkpoint is a folder `step-<number>`: it is written under another name and renamed, so a killed run leaves either
the new one or the old one, never half of one.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

KEPT = 2


def save(folder: Path, step: int, weights: Mapping[str, torch.Tensor], moments: Any, state: Mapping[str, Any]) -> Path:
    """Write `step-<step>`; older ones beyond KEPT are removed."""
    final = folder / f"step-{step:06d}"
    partial = folder / f"partial-{os.getpid()}"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    save_file({name: tensor.detach().contiguous() for name, tensor in weights.items()}, partial / "weights.safetensors")
    save_file(dict(moments), partial / "moments.safetensors")
    (partial / "state.json").write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    for file in partial.iterdir():
        _sync(file)
    shutil.rmtree(final, ignore_errors=True)
    partial.rename(final)
    _sync(folder)
    for old in steps(folder)[:-KEPT]:
        shutil.rmtree(old)
    return final


def load(checkpoint: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor], dict[str, Any]]:
    """Weights, moments, state."""
    state = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    return load_file(checkpoint / "weights.safetensors"), load_file(checkpoint / "moments.safetensors"), state


def steps(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    return sorted(folder.glob("step-*"))


def moments(optimisers: Mapping[str, torch.optim.Optimizer]) -> dict[str, torch.Tensor]:
    """The optimisers' states as one flat dictionary of tensors, `<optimiser>.<parameter number>.<name>`."""
    return {
        f"{kind}.{number}.{name}": torch.as_tensor(value).clone()
        for kind, optimiser in optimisers.items()
        for number, values in optimiser.state_dict()["state"].items()
        for name, value in values.items()
    }


def restore(optimisers: Mapping[str, torch.optim.Optimizer], flat: Mapping[str, torch.Tensor]) -> None:
    """The reverse of `moments`."""
    for kind, optimiser in optimisers.items():
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, tensor in flat.items():
            of, number, name = key.split(".", 2)
            if of == kind:
                state.setdefault(int(number), {})[name] = tensor
        optimiser.load_state_dict({"state": state, "param_groups": optimiser.state_dict()["param_groups"]})


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
