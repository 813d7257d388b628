"""A recipe: what is tuned and how, as one immutable value that serialises to JSON and has a content hash."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fewtune.data.templates.base import PLAIN, Template
from fewtune.errors import UsageError
from fewtune.methods.base import Method
from fewtune.methods.registry import method_class

DEFAULT_BACKBONE = "default"


@dataclass(frozen=True)
class Recipe:
    """Backbone, method with its hyper-parameters, and template."""

    method: Method
    backbone: str = DEFAULT_BACKBONE
    """`default`, a folder, or a Hub name; ignored by methods that read no text."""
    template: Template = PLAIN
    """How an example is put to the backbone; ignored by methods that read no text."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, every default written out: a later change of default cannot change an old recipe.

        The plain template and the task of classification are left out, as recipes from before there were others mean
        them: their hashes stand.
        """
        plain = {"method": self.method.name, "backbone": self.backbone, "settings": self.method.settings()}
        if self.method.task != "classification":
            plain["task"] = self.method.task
        return plain if self.template == PLAIN else {**plain, "template": self.template.to_json()}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Recipe:
        """The inverse of `to_json`. Raises UsageError when a key is missing or a setting is unknown."""
        try:
            cls_of_method = method_class(str(plain["method"]), plain.get("task", "classification"))
            method = cls_of_method.from_settings(plain.get("settings", {}))
            template = Template.from_json(plain.get("template", {}))
            return cls(method=method, backbone=str(plain.get("backbone", DEFAULT_BACKBONE)), template=template)
        except (KeyError, TypeError, AttributeError) as error:
            raise UsageError(f"This is no recipe: {error}. A recipe has method, backbone and settings.") from error

    @property
    def hash(self) -> str:
        """SHA-256 of the JSON with sorted keys, 12 hex digits."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True).encode()).hexdigest()[:12]

    @property
    def title(self) -> str:
        """What a person reads."""
        return self.method.called
