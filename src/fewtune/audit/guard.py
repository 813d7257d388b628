"""What a fit asks of its training rows before its score is believed: nothing that gives the label away."""

from __future__ import annotations

from fewtune.audit.artefacts import Artefacts
from fewtune.audit.base import Check, Finding, Ground
from fewtune.audit.telling_columns import TellingColumns

GUARDS: tuple[type[Check], ...] = (Artefacts, TellingColumns)


def guard(ground: Ground) -> list[Finding]:
    """What blocks or warns, the gravest first; it takes a fraction of a second on 500 rows."""
    found = [finding for kind in GUARDS for finding in kind().run(ground) if finding.severity != "note"]
    return sorted(found, key=lambda finding: finding.severity != "blocks")
