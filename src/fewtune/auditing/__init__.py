"""`fewtune check`, end to end: the ground is laid, every check looks at it, and what is found becomes an `Audit`.

check → ground (`ground.py`) → one check after the other (`looking.py`) → `Audit` (`found.py`)
"""

from fewtune.auditing.check import check
from fewtune.auditing.found import FORMAT, Audit
from fewtune.auditing.ground import LACKING, lay, predictions
from fewtune.auditing.looking import audit, chosen

__all__ = ["FORMAT", "LACKING", "Audit", "audit", "check", "chosen", "lay", "predictions"]
