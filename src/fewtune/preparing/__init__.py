"""`fewtune prepare`: rows made clean, every change proposed, told and reversible."""

from fewtune.preparing.prepare import prepare
from fewtune.preparing.prepared import Prepared
from fewtune.preparing.undo import undo

__all__ = ["Prepared", "prepare", "undo"]
