"""How an example becomes what a backbone reads: a layout, an instruction, separators, words for classes."""

from fewtune.data.pairs import PAIR
from fewtune.data.templates.base import PLAIN, Layout, Template
from fewtune.data.templates.registry import NAMES, layout_class
from fewtune.data.templates.words import read_words, spoken

__all__ = ["NAMES", "PAIR", "PLAIN", "Layout", "Template", "layout_class", "read_words", "spoken"]
