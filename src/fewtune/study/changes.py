"""Settings of methods that a person changes: `lora.rank=64`, read by the type of the setting."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from fewtune.data.base import Task
from fewtune.errors import UsageError
from fewtune.methods.registry import method_class
from fewtune.recipe import Recipe

YES, NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


@dataclass(frozen=True)
class Change:
    """One setting of one method."""

    method: str
    setting: str
    value: Any


def change_of(said: str, task: Task) -> Change:
    """`lora.rank=64` → a change. Raises UsageError for what names no setting, or a value of another kind."""
    where, equals, value = said.partition("=")
    name, dot, setting = where.strip().partition(".")
    if not equals or not dot or not setting:
        raise UsageError(f"--set {said!r} names no setting. Write it like lora.rank=64.")
    fields = {field.name: field for field in dataclasses.fields(method_class(name, task))}
    if setting not in fields:
        raise UsageError(f"{name} has no setting {setting!r}. Known: {', '.join(fields)}.")
    found = _read(value.strip(), str(fields[setting].type))
    if found is _WRONG:
        raise UsageError(f"--set {said!r}: {setting} is of the kind {fields[setting].type}, which {value!r} is not.")
    return Change(name, setting, found)


def changed(recipes: Sequence[Recipe], changes: Sequence[Change]) -> list[Recipe]:
    """The recipes with the settings of their methods changed. Raises UsageError where a method refuses a value."""
    found = list(recipes)
    for one in changes:
        found = [
            replace(recipe, method=replace(recipe.method, **{one.setting: one.value}))
            if recipe.method.name == one.method
            else recipe
            for recipe in found
        ]
    return found


_WRONG = object()


def _read(value: str, kind: str) -> Any:
    """A value by the type a dataclass states, as text."""
    if value.lower() == "none":
        return None if "None" in kind else _WRONG
    try:
        if kind.startswith("bool"):
            return value.lower() in YES if value.lower() in (*YES, *NO) else _WRONG
        if kind.startswith("tuple"):
            parts = tuple(part.strip() for part in value.split(",") if part.strip())
            return tuple(map(float, parts)) if "float" in kind else parts
        if kind.startswith("int"):
            return int(value)
        return float(value) if kind.startswith("float") else value
    except ValueError:
        return _WRONG
