"""What the bits of a cached value depend on: two values are one only where all of it is equal."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fewtune.backbones.precision import detect
from fewtune.backbones.prefix.limits import prefix_folder
from fewtune.backbones.prefix.segment import KEY_BYTES

PASSES = 2
"""Raised whenever `passes.py` computes in another way, so that no old value is read."""


def kind(*, fingerprint: str, what: str, attention: str, device: torch.device) -> dict[str, Any]:
    """Everything but the text: the backbone, what is asked of it, and the arithmetic."""
    return {
        "backbone": fingerprint,
        "what": what,
        "attention": attention,
        "precision": detect(),
        "float32_products": torch.get_float32_matmul_precision(),
        "torch": torch.__version__,
        "transformers": version("transformers"),
        "hardware": hardware(device),
        "passes": PASSES,
    }


def kind_folder(parts: Mapping[str, Any]) -> Path | None:
    """Where the segments of a kind lie; None where this machine has no place for them."""
    root = prefix_folder()
    name = hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:24]
    return None if root is None else root / name


def key_of(tokens: Sequence[int]) -> bytes:
    """A text's key: what the backbone reads of it, so template, truncation and tokenizer are in it."""
    return hashlib.blake2b(np.asarray(tokens, dtype="<i8").tobytes(), digest_size=KEY_BYTES).digest()


@functools.cache
def hardware(device: torch.device) -> str:
    """The processor: kernels are chosen by its model, and round in their own ways."""
    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    named = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
        named = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), named)
    return f"{named} {torch.backends.cpu.get_cpu_capability()}"
