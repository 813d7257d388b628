"""Every check, in the order of the report."""

from __future__ import annotations

from fewtune.audit.base import Check
from fewtune.audit.copies import Copies
from fewtune.audit.label_errors import LabelErrors
from fewtune.audit.leakage import Descendants, Leakage, RewordedLeakage, SharedGroups
from fewtune.audit.task import Task

CHECKS: tuple[type[Check], ...] = (
    Task,
    Copies,
    Leakage,
    RewordedLeakage,
    Descendants,
    SharedGroups,
    LabelErrors,
)
