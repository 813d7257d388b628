"""Zero-shot: the class whose name lies nearest to the text in the frozen encoder's space. Reads no label."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from fewtune.methods.base import ClosedFormMethod, Fitted, FloatArray, Material
from fewtune.methods.class_names import spoken
from fewtune.methods.head import softmax

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

SETTINGS_FILE = "zero_shot.json"


@dataclass(frozen=True)
class ZeroShot(ClosedFormMethod):
    """Softmax over cosine similarities between text and class name."""

    name: ClassVar[str] = "zero_shot"
    title: ClassVar[str] = "Zero-shot by class names"
    rung: ClassVar[int] = 1

    sharpness: float = 20.0
    """Multiplies the cosine before the softmax: 20 is the scale sentence encoders are trained with."""

    def fit(self, material: Material) -> Fitted:
        """Embed the names."""
        assert material.encoder is not None
        names = material.names or tuple(spoken(name) for name in material.classes)
        return FittedZeroShot(material.encoder, names, self.sharpness)

    @classmethod
    def load(cls, folder: Path, classes: tuple[str, ...], encoder: Encoder | None) -> Fitted:
        """Nothing was learned: names, encoder and sharpness are all there is."""
        assert encoder is not None
        plain = json.loads((folder / SETTINGS_FILE).read_text(encoding="utf-8"))
        names = plain.get("names") or [spoken(name) for name in classes]  # models saved before 0.2 have none
        return FittedZeroShot(encoder, tuple(map(str, names)), float(plain["sharpness"]))


class FittedZeroShot(Fitted):
    """The embedded names."""

    def __init__(self, encoder: Encoder, names: tuple[str, ...], sharpness: float) -> None:
        self.encoder, self.names, self.sharpness = encoder, names, sharpness
        self.names_CD = encoder.embed(names)

    def predict_proba(self, texts: Sequence[str]) -> FloatArray:
        """Softmax of the scaled similarities."""
        similarity_NC = self.encoder.embed(texts) @ self.names_CD.T
        return softmax(self.sharpness * similarity_NC.astype(np.float64))

    def save(self, folder: Path) -> None:
        """Write names and sharpness; the backbone is saved by whoever saves the model folder."""
        plain = {"sharpness": self.sharpness, "names": list(self.names)}
        (folder / SETTINGS_FILE).write_text(json.dumps(plain, ensure_ascii=False), encoding="utf-8")
