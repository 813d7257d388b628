"""Read any file, Hub dataset or frame into examples; split examples fairly; write tables whole."""

from fewtune.data.base import Dataset, Example
from fewtune.data.read import read
from fewtune.data.splits import Split, holdout, merge_groups, repeated_folds
from fewtune.data.write import write_table

__all__ = ["Dataset", "Example", "Split", "holdout", "merge_groups", "read", "repeated_folds", "write_table"]
