"""`TextClassifier`: the whole job behind scikit-learn's interface.

texts and labels as they are given (`rows.py`) → the fit (`text_classifier.py`) → a folder, a pickle (`files.py`)
"""

from fewtune.classifier.text_classifier import TextClassifier

__all__ = ["TextClassifier"]
