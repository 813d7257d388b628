"""Every check, in the order of the report."""

from __future__ import annotations

from fewtune.audit.artefacts import Artefacts
from fewtune.audit.balance import Balance
from fewtune.audit.base import Check
from fewtune.audit.class_pairs import ClassPairs
from fewtune.audit.copies import Copies
from fewtune.audit.coverage import Coverage
from fewtune.audit.dirty_text import DirtyText
from fewtune.audit.label_errors import LabelErrors
from fewtune.audit.language import Language
from fewtune.audit.leakage import Descendants, Leakage, RewordedLeakage, SharedGroups
from fewtune.audit.lengths import Lengths
from fewtune.audit.outliers import Outliers
from fewtune.audit.personal_data import PersonalDataCheck
from fewtune.audit.pool_copies import PoolCopies
from fewtune.audit.preference_conflicts import PreferenceConflicts
from fewtune.audit.preference_echoes import PreferenceEchoes
from fewtune.audit.preference_lengths import PreferenceLengths
from fewtune.audit.preference_rows import PreferenceRows
from fewtune.audit.relevance import Relevance
from fewtune.audit.shift import Shift
from fewtune.audit.sufficiency import Sufficiency
from fewtune.audit.task import Task
from fewtune.audit.telling_columns import TellingColumns
from fewtune.audit.truncation import Truncation

CHECKS: tuple[type[Check], ...] = (
    Task,
    Copies,
    Leakage,
    RewordedLeakage,
    Descendants,
    SharedGroups,
    PoolCopies,
    TellingColumns,
    Artefacts,
    LabelErrors,
    ClassPairs,
    Balance,
    Sufficiency,
    Shift,
    Coverage,
    Outliers,
    Relevance,
    Language,
    Lengths,
    Truncation,
    DirtyText,
    PersonalDataCheck,
    PreferenceRows,
    PreferenceConflicts,
    PreferenceLengths,
    PreferenceEchoes,
)
