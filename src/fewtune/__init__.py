"""fewtune: fine-tune a language model on a small dataset, and know whether to believe the result.

The public names are imported on first use, so `import fewtune` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fewtune.auditing import check
    from fewtune.classifier import TextClassifier
    from fewtune.data.base import Dataset, Example
    from fewtune.data.read import read
    from fewtune.errors import FewtuneError
    from fewtune.generator import TextGenerator
    from fewtune.model_folder import load
    from fewtune.recipe import Recipe
    from fewtune.writer_folder import load_writer

__version__ = "0.1.0"
_WHERE = {
    "TextClassifier": "fewtune.classifier",
    "TextGenerator": "fewtune.generator",
    "check": "fewtune.auditing",
    "Dataset": "fewtune.data.base",
    "Example": "fewtune.data.base",
    "read": "fewtune.data.read",
    "FewtuneError": "fewtune.errors",
    "load": "fewtune.model_folder",
    "load_writer": "fewtune.writer_folder",
    "Recipe": "fewtune.recipe",
}
__all__ = [
    "Dataset",
    "Example",
    "FewtuneError",
    "Recipe",
    "TextClassifier",
    "TextGenerator",
    "check",
    "load",
    "load_writer",
    "read",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'fewtune' has no attribute {name!r}")
    return getattr(import_module(_WHERE[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
