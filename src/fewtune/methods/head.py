"""The linear head every encoder method ends in: multinomial logistic regression on embeddings, as plain arrays.

Legend: N rows, C classes, D width of an embedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fewtune.methods.base import FloatArray, IntArray
from fewtune.methods.logistic import fit_logistic, turn

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

ABSENT_BIAS = -30.0
"""Logit offset of a class that had no row to learn from: its probability is nothing, not undefined."""
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class LinearHead:
    """Logits are `vectors @ weight.T + bias`."""

    weight_CD: Vectors
    bias_C: Vectors

    @property
    def size(self) -> int:
        """How many numbers it has."""
        return int(self.weight_CD.size + self.bias_C.size)

    def logits(self, vectors_ND: NDArray[np.floating]) -> FloatArray:
        """[N, C] unnormalised log-probabilities."""
        return np.asarray(vectors_ND, dtype=np.float64) @ self.weight_CD.T.astype(np.float64) + self.bias_C

    def predict_proba(self, vectors_ND: NDArray[np.floating]) -> FloatArray:
        """[N, C] probabilities."""
        return softmax(self.logits(vectors_ND))

    def save(self, path: Path) -> None:
        """Write as safetensors."""
        from safetensors.numpy import save_file

        save_file({"weight": np.ascontiguousarray(self.weight_CD), "bias": np.ascontiguousarray(self.bias_C)}, path)

    @classmethod
    def load(cls, path: Path) -> LinearHead:
        """Read what `save` wrote. Raises BackboneDamaged when it is absent or is no such file."""
        from safetensors import SafetensorError
        from safetensors.numpy import load_file

        from fewtune.errors import BackboneDamaged

        try:
            tensors = load_file(path)
            return cls(tensors["weight"], tensors["bias"])
        except (OSError, SafetensorError, KeyError) as error:
            raise BackboneDamaged(f"{path} is missing or damaged. Fit again, or restore the folder.") from error


def softmax(logits_NC: FloatArray) -> FloatArray:
    """Probabilities from logits, each row summing to one."""
    shifted = np.exp(logits_NC - logits_NC.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float64)


def fit_head(
    vectors_ND: NDArray[np.floating],
    labels_N: IntArray,
    classes: int,
    *,
    strength: float,
    weights_N: Sequence[float] | FloatArray | None = None,
    towards_CD: Vectors | None = None,
) -> LinearHead:
    """Logistic regression with inverse regularisation `strength` (scikit-learn's `C`), one weight a row.

    The probabilities of scikit-learn's `LogisticRegression`, to about a thousandth; see `logistic.py`.

    Parameters
    ----------
    towards_CD : weights that the penalty pulls towards, in place of zero.
    """
    present, codes_N = np.unique(labels_N, return_inverse=True)
    weight_CD = np.zeros((classes, vectors_ND.shape[1]), dtype=np.float32)
    bias_C = np.full(classes, ABSENT_BIAS, dtype=np.float32)
    if len(present) == 1:
        bias_C[present] = 0.0
        return LinearHead(weight_CD, bias_C)
    rows_N = np.ones(len(labels_N)) if weights_N is None else np.asarray(weights_N, dtype=np.float64)
    # The products are small: BLAS threads would spend their time waiting for one another (eight times slower here).
    with _blas().limit(limits=1, user_api="blas"):
        turned = turn(vectors_ND)
        offsets_NC = None if towards_CD is None else vectors_ND @ towards_CD[present].T
        found = fit_logistic(turned, codes_N, rows_N, strength=strength, offsets_NC=offsets_NC)
        weight_CD[present], bias_C[present] = turned.head(found)
    if towards_CD is not None:
        weight_CD[present] += towards_CD[present]
    return LinearHead(weight_CD, bias_C)


@lru_cache(maxsize=1)
def _blas() -> ThreadpoolController:
    """The linear-algebra libraries that are loaded, looked up once."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
