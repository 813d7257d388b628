"""What a fit asks of its rows before its score is believed: no label given away, unlabelled texts of the same kind."""

from __future__ import annotations

from fewtune.audit.artefacts import Artefacts
from fewtune.audit.base import Check, Finding, Ground
from fewtune.audit.shift import Shift
from fewtune.audit.telling_columns import TellingColumns

GUARDS: tuple[type[Check], ...] = (Artefacts, TellingColumns, Shift)


def guard(ground: Ground) -> list[Finding]:
    """What blocks or warns, the gravest first; it takes a fraction of a second on 500 rows."""
    found = [finding for kind in GUARDS for finding in kind().run(ground) if finding.severity != "note"]
    return sorted(found, key=lambda finding: finding.severity != "blocks")
