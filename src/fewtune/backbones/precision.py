"""Which number format the matrix products run in: bf16 where this machine is fast at it, float32 elsewhere.

Detected by a short measurement, not by name: the same processor family comes with and without fast bf16. The answer is
kept in a small file, so every command on a machine computes in the same format and gives the same bits.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import time
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Literal

import torch

Precision = Literal["bf16", "float32"]
SPEEDUP_NEEDED = 1.5
"""bf16 must be this many times faster: below it, the rounding is not worth having."""


def cache_folder() -> Path:
    """Where small machine facts are kept; `FEWTUNE_CACHE` or `XDG_CACHE_HOME` moves it."""
    root = os.environ.get("FEWTUNE_CACHE")
    return Path(root) if root else Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fewtune"


def device() -> torch.device:
    """The GPU when there is one, else the CPU; `FEWTUNE_DEVICE` overrules."""
    chosen = os.environ.get("FEWTUNE_DEVICE")
    if chosen:
        return torch.device(chosen)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@lru_cache(maxsize=1)
def detect() -> Precision:
    """The format for this machine; `FEWTUNE_PRECISION` (`bf16` or `float32`) overrules the measurement."""
    forced = os.environ.get("FEWTUNE_PRECISION")
    if forced in ("bf16", "float32"):
        return "bf16" if forced == "bf16" else "float32"
    if device().type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported() else "float32"
    return _remembered() or _measured()


def machine() -> str:
    """What the measurements kept here hold for."""
    return f"{platform.node()}|{platform.machine()}|{torch.__version__}|{torch.backends.cpu.get_cpu_capability()}"


def _remembered() -> Precision | None:
    try:
        kept = json.loads((cache_folder() / "precision.json").read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(kept, dict) or kept.get("machine") != machine():
        return None
    known: dict[str, Precision] = {"bf16": "bf16", "float32": "float32"}
    return known.get(str(kept.get("precision")))


def _measured() -> Precision:
    speedup = _seconds(torch.float32) / _seconds(torch.bfloat16)
    precision: Precision = "bf16" if speedup >= SPEEDUP_NEEDED else "float32"
    # A cache that cannot be written costs a fifth of a second next time, nothing else.
    with contextlib.suppress(OSError):
        cache_folder().mkdir(parents=True, exist_ok=True)
        text = json.dumps({"machine": machine(), "precision": precision, "speedup": round(speedup, 2)})
        (cache_folder() / "precision.json").write_text(text)
    return precision


def _seconds(dtype: torch.dtype) -> float:
    """Fastest of several products of the shape a small encoder's feed-forward layer has."""
    left, right = torch.ones(512, 384, dtype=dtype), torch.ones(384, 1536, dtype=dtype)
    best = float("inf")
    for _ in range(12):
        started = time.perf_counter()
        for _ in range(4):
            left @ right
        best = min(best, time.perf_counter() - started)
    return best


@contextlib.contextmanager
def compute_precision() -> Iterator[None]:
    """Within it, matrix products run in the detected format; results and trained weights stay float32."""
    enabled = detect() == "bf16"
    with torch.autocast(device().type, dtype=torch.bfloat16, enabled=enabled):
        yield
