"""What an audit has found: the verdict in a sentence, and `audit.json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fewtune.audit.base import SEVERITIES, Check, Finding, Ground, Part
from fewtune.data.base import Dataset
from fewtune.plural import counted

FORMAT = 1
"""Of `audit.json`; see report/AUDIT.md."""


@dataclass(frozen=True)
class Audit:
    """What was found, and what was not looked at."""

    ground: Ground
    """What was looked at; what a backbone and a model said of it is kept there."""
    findings: tuple[Finding, ...]
    """The gravest first."""
    checks: tuple[type[Check], ...]
    """All that were asked for, in the order of the report."""
    skipped: Mapping[str, str] = field(default_factory=dict)
    """Check → why it was not run."""
    failed: Mapping[str, str] = field(default_factory=dict)
    """Check → why it could not be finished."""
    seconds: Mapping[str, float] = field(default_factory=dict)
    """Check → seconds; those that ran and no others."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    total_seconds: float = 0.0
    """Of reading, asking the backbone and all checks."""

    @property
    def parts(self) -> dict[Part, Dataset]:
        """The rows that were looked at."""
        return dict(self.ground.parts)

    @property
    def blocked(self) -> bool:
        """Whether something found would invalidate a result."""
        return any(finding.severity == "blocks" for finding in self.findings)

    @property
    def unfinished(self) -> bool:
        """Whether a check could not be finished, or none of those asked for could be run."""
        return bool(self.failed) or (bool(self.checks) and len(self.skipped) == len(self.checks))

    @property
    def sentence(self) -> str:
        """The verdict."""
        if self.unfinished and not self.failed:
            return "Nothing was looked at: no check that was asked for could be run."
        said = [self._found()]
        if self.failed:
            said.append(f"{counted(len(self.failed), 'check')} could not be finished.")
        train = self.ground.train
        if train.task == "classification" and not train.classes:
            said.append("There are no labels to check.")
        return " ".join(said)

    def _found(self) -> str:
        blocks, warnings, _ = (sum(f.severity == severity for f in self.findings) for severity in SEVERITIES)
        if blocks:
            return f"{counted(blocks, 'thing')} would invalidate a result from these data."
        if warnings:
            verb = "is" if warnings == 1 else "are"
            return f"Nothing stands in the way, but {counted(warnings, 'thing')} {verb} worth mending."
        return "Nothing stands in the way."

    def to_json(self) -> dict[str, Any]:
        """`audit.json`: every finding with all its rows (report/AUDIT.md)."""
        from fewtune.report.result import hardware, versions

        train = self.ground.train
        return {
            "format": FORMAT,
            "task": train.task,
            "verdict": {"blocked": self.blocked, "sentence": self.sentence},
            "parts": {part: _part(data) for part, data in self.parts.items()},
            "classes": [{"name": name, "rows": rows} for name, rows in train.class_sizes.items()],
            "findings": [_finding(finding) for finding in self.findings],
            "checks": [self._check(check) for check in self.checks],
            "settings": dict(self.settings),
            "seconds": round(self.total_seconds, 2),
            "versions": versions(),
            "hardware": hardware() if self.settings.get("backbone") else {},
        }

    def write(self, folder: str | Path) -> Path:
        """Write `audit.json` and `audit.html` into `folder`; says where the page is. Raises StoreError."""
        from fewtune.report.audit_page import write_audit

        return write_audit(Path(folder), self.to_json())

    def _check(self, check: type[Check]) -> dict[str, Any]:
        name = check.name
        status = "skipped" if name in self.skipped else "failed" if name in self.failed else "ran"
        return {
            "name": name,
            "title": check.title,
            "question": check.question(),
            "status": status,
            "reason": self.skipped.get(name) or self.failed.get(name),
            "seconds": self.seconds.get(name),
            "findings": sum(finding.check == name for finding in self.findings),
        }


def _part(data: Dataset) -> dict[str, Any]:
    return {
        "source": data.source,
        "rows": len(data),
        "classes": len(data.classes),
        "fingerprint": data.fingerprint,
        "text_column": data.text_column,
        "label_column": data.label_column,
        "notes": list(data.notes),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    rows = [
        {
            "part": row.part,
            "row": row.row,
            "id": row.id,
            "text": row.text,
            "label": row.label,
            "note": row.note,
            "score": row.score,
        }
        for row in finding.rows
    ]
    return {
        "check": finding.check,
        "severity": finding.severity,
        "what": finding.what,
        "reason": finding.reason,
        "do": finding.do,
        "numbers": dict(finding.numbers),
        "rows": rows,
    }
