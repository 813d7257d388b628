"""The starter's scripts are no package: its folder is put on the path as `python starter/…` does."""

import sys
from pathlib import Path

STARTER = Path(__file__).parents[2] / "starter"
sys.path.insert(0, str(STARTER))
