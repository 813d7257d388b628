"""A recipe: what is tuned and how, as one immutable value that serialises to JSON and has a content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fewtune.errors import UsageError
from fewtune.methods.base import Method
from fewtune.methods.registry import method_class

DEFAULT_BACKBONE = "default"


@dataclass(frozen=True)
class Recipe:
    """Backbone and method with its hyper-parameters."""

    method: Method
    backbone: str = DEFAULT_BACKBONE
    """`default`, a folder, or a Hub name; ignored by methods that read no text."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, every default written out: a later change of default cannot change an old recipe."""
        return {"method": self.method.name, "backbone": self.backbone, "settings": self.method.settings()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_json`. Raises UsageError when a key is missing or a setting is unknown."""
        try:
            method = method_class(str(plain["method"])).from_settings(plain.get("settings", {}))
            return cls(method=method, backbone=str(plain.get("backbone", DEFAULT_BACKBONE)))
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"This is no recipe: {error}. A recipe has method, backbone and settings.") from error

    @property
    def hash(self) -> str:
        """SHA-256 of the JSON with sorted keys, 12 hex digits."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """What a person reads."""
        return self.method.title
