# ruff: noqa: SIM905 - lists of words read better as text
"""Rows made of the corpus's own sentences: some words of a sentence are given, and the sentence is to be written.

The corpus has few rows whose answer repeats what the prompt names, and a small model learns from running text alone
only slowly to copy a name it has not met. So some of the books' sentences are asked for in a prompt that names two to
four of their phrases. In many, phrases are replaced, in prompt and sentence alike, by ones made up letter by letter or
of words from elsewhere in the text: what cannot be guessed can only be copied.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from random import Random

SOURCE = "sentences"
FROM = ("children", "general", "stories")
"""Sources whose sentences are used."""
ONE_SENTENCE_IN = 2
FEWEST_WORDS, MOST_WORDS = 6, 26
MADE_UP = 0.6
"""Share of the names, and of words where a name could stand, that are replaced by ones made up."""
LOWER_CASED = 0.2
"""Share of the rows all in small letters, as many data-to-text corpora are."""

_SENTENCE = re.compile(r"(?<! Mr\.)(?<! Mrs\.)(?<! Dr\.)(?<! St\.)(?<! Capt\.)(?<! [A-Z]\.)(?<=[.!?]) +(?=[A-Z])")
_WORD = re.compile(r"\b[A-Za-z]{3,}\b")
_PLAIN = re.compile(r"^[A-Z][A-Za-z0-9,;:' -]+(\. [A-Za-z0-9,;:' -]+)?[.!?]$")
_BEFORE_A_NAME = frozenset("a an the his her their my our this that of to in at from with by for near".split())
_FUNCTION_WORDS = frozenset(
    "a about after again all also am an and any are as at be because been before being both but by can could did do "
    "does down each else even every few for from had has have he her here him his how i if in into is it its just like "
    "made make many may me might more most much must my never no nor not now of off on once one only or other our out "
    "over own said same shall she should so some still such than that the their them then there these they this those "
    "though through to too two under until up upon us very was we well were what when where which while who whom whose "
    "why will with without would yes yet you your".split()
)


def rows(text: str, random: Random) -> Iterator[dict[str, str]]:
    """A row of prompt and completion for some of the sentences of a text, one in ONE_SENTENCE_IN."""
    elsewhere = sorted({word for word in _WORD.findall(text) if word.lower() not in _FUNCTION_WORDS})
    for paragraph in text.split("\n"):
        for sentence in _SENTENCE.split(paragraph):
            words = sentence.split()
            fits = FEWEST_WORDS <= len(words) <= MOST_WORDS and _PLAIN.match(sentence)
            if fits and random.randrange(ONE_SENTENCE_IN) == 0 and (row := _row(sentence, elsewhere, random)):
                yield row


def _row(sentence: str, elsewhere: Sequence[str], random: Random) -> dict[str, str] | None:
    phrases = _phrases(sentence, random)
    if len(phrases) < 2 or not _each_once(phrases, sentence):
        return None
    for old in [phrase for phrase in phrases if _is_like_a_name(sentence, phrase)]:
        if random.random() < MADE_UP and (new := _made_up(elsewhere, random)) not in sentence:
            sentence = sentence.replace(old, new, 1)
            phrases[phrases.index(old)] = new
    if not _each_once(phrases, sentence):
        return None
    random.shuffle(phrases)
    if random.random() < LOWER_CASED:
        sentence, phrases = sentence.lower(), [phrase.lower() for phrase in phrases]
    return {"prompt": random.choice(_FORMS)(phrases, random), "completion": sentence}


def _phrases(sentence: str, random: Random) -> list[str]:
    """Two to four phrases of one to three words that do not overlap, each with a word that says something."""
    words = sentence.split()
    free = set(range(1, len(words)))
    taken: list[tuple[int, int]] = []
    for _ in range(random.randint(2, 4)):
        length = random.choice((1, 1, 2, 3))
        starts = [
            start
            for start in range(1, len(words) - length + 1)
            if free.issuperset(range(start, start + length)) and _says_something(words[start : start + length])
        ]
        if starts:
            start = random.choice(starts)
            taken.append((start, start + length))
            free -= set(range(start - 1, start + length + 1))
    return [" ".join(words[start:end]).rstrip(",;:.!?'") for start, end in sorted(taken)]


def _each_once(phrases: Sequence[str], sentence: str) -> bool:
    return all(sentence.count(phrase) == 1 for phrase in phrases)


def _says_something(words: Sequence[str]) -> bool:
    bare = [word.strip(",;:.!?'").lower() for word in words]
    inner = any(word[-1] in ",;:" for word in words[:-1])
    return not inner and bare[0] not in _FUNCTION_WORDS and bare[-1] not in _FUNCTION_WORDS and len(bare[-1]) > 2


def _is_like_a_name(sentence: str, phrase: str) -> bool:
    before = sentence.partition(phrase)[0].split()[-1].lower()
    return phrase.istitle() or before in _BEFORE_A_NAME


_ONSETS = "b br c ch cl d dr f fl g gr h j k l m n p pr qu r s sh st t tr v w z".split()
_VOWELS = "a e i o u ai ea ee oo ou y".split()
_CODAS = " l m n nd r rk s ss st t x ck".split(" ")


def _made_up(elsewhere: Sequence[str], random: Random) -> str:
    """A name of one to four words, of nobody's or of the text's, or a number."""
    kind = random.randrange(7)
    if kind == 0:
        return str(random.randint(2, 9_999))
    words = random.choice((1, 1, 2, 2, 3, 4))
    name = " ".join(random.choice(elsewhere) if kind > 3 else _word(random) for _ in range(words))
    return name.title() if kind % 2 else name


def _word(random: Random) -> str:
    syllables = random.randint(1, 3)
    return "".join(random.choice(_ONSETS) + random.choice(_VOWELS) for _ in range(syllables)) + random.choice(_CODAS)


def _list(phrases: Sequence[str], random: Random) -> str:
    said = random.choice(("Write a sentence with", "Use these words", "A sentence that has", "Make a sentence from"))
    return f"{said}: {random.choice(('; ', ', ', ' / ')).join(phrases)}"


def _lines(phrases: Sequence[str], random: Random) -> str:
    return "Say it in one sentence.\n" + "\n".join(f"- {phrase}" for phrase in phrases)


def _call(phrases: Sequence[str], random: Random) -> str:
    """Named values behind the name of what is to be done, as tables and meaning representations have them."""
    quote = random.choice(("'", '"', ""))
    inner = random.choice((";", ", ", " | "))
    names = [_word(random) for _ in phrases]
    return f"{_word(random)}({inner.join(f'{n}={quote}{p}{quote}' for n, p in zip(names, phrases, strict=True))})"


def _fields(phrases: Sequence[str], random: Random) -> str:
    return "\n".join(f"{_word(random)}: {phrase}" for phrase in phrases)


_FORMS: tuple[Callable[[Sequence[str], Random], str], ...] = (_list, _lines, _call, _call, _fields)
