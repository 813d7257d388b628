"""Scores of one row against its references, averaged: exact match, token F1, ROUGE. Each row takes its best reference.

Three ways to make two texts comparable, from strict to loose:

- `exact_match`: Unicode NFC, white space collapsed, nothing else. Case and punctuation count.
- `normalised_match` and `token_f1`: as SQuAD's script does, lower case, punctuation and the words a, an, the left out.
- ROUGE: rouge-score's tokeniser, which keeps a to z and digits and drops all else. Text in another script scores 0.

References
----------
Rajpurkar, Zhang, Lopyrev, Liang: SQuAD: 100,000+ questions for machine comprehension of text. EMNLP 2016.
Lin: ROUGE: a package for automatic evaluation of summaries. 2004.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from importlib import metadata

from fewtune.metrics.corpus import RowStatistics, mean_of

Tokens = Callable[[str], list[str]]
F1 = Callable[[list[str], list[str]], float]

ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def squeezed(text: str) -> str:
    """NFC, runs of white space as one space, none at the ends."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def squad_words(text: str) -> list[str]:
    """The words that SQuAD's script compares."""
    bare = unicodedata.normalize("NFC", text).lower().translate(PUNCTUATION)
    return ARTICLES.sub(" ", bare).split()


def exact_match(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> RowStatistics:
    """Share of outputs that equal a reference but for white space."""
    hits = [
        squeezed(output) in {squeezed(one) for one in given} for output, given in zip(outputs, references, strict=True)
    ]
    return mean_of("exact_match", hits, signature="case:mixed|norm:NFC,space|refs:any")


def normalised_match(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> RowStatistics:
    """Share of outputs that equal a reference in SQuAD's normal form."""
    pairs = zip(outputs, references, strict=True)
    hits = [squad_words(output) in [squad_words(one) for one in given] for output, given in pairs]
    return mean_of("normalised_match", hits, signature="norm:squad|refs:any")


def token_f1(outputs: Sequence[str], references: Sequence[Sequence[str]]) -> RowStatistics:
    """Mean F1 of the words an output shares with its best reference, order left aside."""
    pairs = zip(outputs, references, strict=True)
    values = [_best(_bag_f1, squad_words(output), [squad_words(one) for one in given]) for output, given in pairs]
    return mean_of("token_f1", values, signature="norm:squad|refs:max")


def rouge(
    outputs: Sequence[str],
    references: Sequence[Sequence[str]],
    *,
    kinds: Sequence[str] = ("rouge_1", "rouge_2", "rouge_l"),
    stem: bool = False,
) -> dict[str, RowStatistics]:
    """Mean F1 of ROUGE-1, ROUGE-2 and ROUGE-L, by name.

    Words are rouge-score's. Its scorer is not called: importing it loads nltk and scikit-learn for seconds, and its
    common subsequence is quadratic in plain Python. Tests hold the numbers to it.

    Parameters
    ----------
    outputs, references : [N] texts and [N] one or more references for each.
    kinds : which of the three.
    stem : cut word endings by Porter's rules first (needs nltk, which rouge-score brings).
    """
    tokens = _tokenizer(stem)
    pairs = zip(outputs, references, strict=True)
    words = [(tokens(output), [tokens(one) for one in given]) for output, given in pairs]
    signature = f"stemmer:{'porter' if stem else 'no'}|refs:max|f:1|rouge_score:{metadata.version('rouge_score')}"
    return {
        kind: mean_of(kind, [_best(KINDS[kind], written, given) for written, given in words], signature=signature)
        for kind in kinds
    }


def _tokenizer(stem: bool) -> Tokens:
    if stem:
        from rouge_score.tokenizers import DefaultTokenizer

        stemming: Tokens = DefaultTokenizer(use_stemmer=True).tokenize
        return stemming
    from rouge_score.tokenize import tokenize

    return lambda text: list(tokenize(text, None))


def _best(f1: F1, written: list[str], given: list[list[str]]) -> float:
    return max(f1(written, wanted) for wanted in given)


def _f1(shared: float, written: int, wanted: int) -> float:
    """2·P·R / (P + R), which is 2·shared / (written + wanted); 0 when nothing is shared."""
    return 2 * shared / (written + wanted) if shared else 0.0


def _bag_f1(written: list[str], wanted: list[str]) -> float:
    if not written or not wanted:
        # As in SQuAD 2.0: no answer is right where none was wanted.
        return float(written == wanted)
    return _f1((Counter(written) & Counter(wanted)).total(), len(written), len(wanted))


def _ngram_f1(written: list[str], wanted: list[str], order: int) -> float:
    counts = [Counter(zip(*(words[start:] for start in range(order)), strict=False)) for words in (written, wanted)]
    return _f1((counts[0] & counts[1]).total(), counts[0].total(), counts[1].total())


def _subsequence_f1(written: list[str], wanted: list[str]) -> float:
    from rapidfuzz.distance import LCSseq

    return _f1(LCSseq.similarity(written, wanted), len(written), len(wanted))


KINDS: dict[str, F1] = {
    "rouge_1": lambda written, wanted: _ngram_f1(written, wanted, 1),
    "rouge_2": lambda written, wanted: _ngram_f1(written, wanted, 2),
    "rouge_l": _subsequence_f1,
}


def unread_by_rouge(texts: Sequence[str]) -> float:
    """Share of the letters and digits in these texts that ROUGE's tokeniser drops."""
    letters = [character for text in texts for character in text if character.isalnum()]
    return sum(not character.isascii() for character in letters) / max(1, len(letters))


__all__ = ["exact_match", "normalised_match", "rouge", "squad_words", "squeezed", "token_f1", "unread_by_rouge"]
