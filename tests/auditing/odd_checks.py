"""Checks that do as no real one does, for what an audit makes of them."""

from typing import ClassVar

from fewtune.audit.base import Check, Finding
from fewtune.errors import DataError


class Grave(Check):
    """Whatever it sees is wrong."""

    name: ClassVar[str] = "grave"
    title: ClassVar[str] = "Grave"

    def run(self, ground):
        yield Finding("grave", "note", "A note.", "Why.", "Do.")
        yield Finding("grave", "blocks", "All is lost.", "Why.", "Do.")


class Broken(Check):
    """Cannot be done."""

    name: ClassVar[str] = "broken"
    title: ClassVar[str] = "Broken"

    def run(self, ground):
        yield Finding("broken", "warning", "Half a finding.", "Why.", "Do.")
        raise DataError("The dictionary is missing.", remedy="Install it.")
