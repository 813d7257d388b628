"""What the cache folder holds, for a person."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fewtune.backbones.prefix.limits import File, files
from fewtune.backbones.prefix.segment import SUFFIX, Damaged, Segment


@dataclass(frozen=True)
class Kind:
    """What one backbone's layers, computed in one way, said about texts."""

    folder: Path
    about: dict[str, Any]
    texts: int
    bytes: int
    used: float
    """When something of it was last used, in seconds since 1970."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {"folder": str(self.folder), **self.about, "texts": self.texts, "bytes": self.bytes, "used": self.used}


def kinds(folder: Path) -> list[Kind]:
    """What is kept, the last used first."""
    found: dict[Path, list[File]] = defaultdict(list)
    for file in files(folder):
        found[file.path.parent].append(file)
    return sorted((_kind(place, own) for place, own in found.items()), key=lambda kind: -kind.used)


def _kind(folder: Path, own: list[File]) -> Kind:
    about: dict[str, Any] = {}
    texts = 0
    for file in own:
        if file.path.suffix == SUFFIX:
            try:
                segment = Segment(file.path)
            except (Damaged, OSError):  # whoever reads it next will see to it
                continue
            about, texts = segment.about, texts + len(segment)
            segment.close()
    return Kind(folder, about, texts, sum(file.bytes for file in own), max(file.used for file in own))
