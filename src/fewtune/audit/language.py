"""Rows in a language other than the majority's, told by py3langid (naive Bayes on byte n-grams, 140 languages).

Short texts are easily taken for another language ("still no parcel" for Catalan), so a row is only named when it has
enough letters and the other language is likelier by a wide margin; a row in another script needs no more than a few
letters. The thresholds were set on public English test sets and measured on other rows
(`benchmarks/audit/cleaning.py`).
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, ClassVar

from fewtune.audit.base import Check, Finding, Ground, Part, named
from fewtune.audit.wording import percent, rows_said, share_of

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

LEAST_LETTERS = 20
LEAST_LETTERS_OTHER_SCRIPT = 4
MARGIN = 15.0
"""Difference of log-likelihoods between the row's language and the majority's."""
MAJORITY = 0.6
"""Share of rows from which a file has one language; below, it has several and no row is out of place."""
FEWEST = 5
"""Rows long enough to be told, below which nothing is said."""
LOOKED_AT = 200
"""Characters of a text: enough to tell, and a bound for long texts."""
USUAL = 0.02
"""Share of the majority's rows from which a script is one of its own: Japanese has three."""
MANY = 0.01
READ_BY_DEFAULT = "en"
"""What the default backbone was trained on."""

_NO_LANGUAGE = re.compile(r"https?://\S+|www\.\S+|\S+@\S+|[@#]\w+|<[^<>]{1,200}>|&#?\w{1,30};|\[[A-Z]{2,8}\]|\d+")
NAMES = {
    "ar": "Arabic", "bg": "Bulgarian", "bn": "Bengali", "ca": "Catalan", "cs": "Czech", "da": "Danish", "de": "German",
    "el": "Greek", "en": "English", "es": "Spanish", "et": "Estonian", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian", "id": "Indonesian", "it": "Italian",
    "ja": "Japanese", "ko": "Korean", "lt": "Lithuanian", "lv": "Latvian", "ms": "Malay", "nb": "Norwegian",
    "nl": "Dutch", "nn": "Norwegian", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "ro": "Romanian",
    "ru": "Russian", "sk": "Slovak", "sl": "Slovenian", "sr": "Serbian", "sv": "Swedish", "ta": "Tamil",
    "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "uk": "Ukrainian", "ur": "Urdu", "vi": "Vietnamese",
    "zh": "Chinese", "af": "Afrikaans", "cy": "Welsh", "eu": "Basque", "ga": "Irish", "gl": "Galician",
    "gu": "Gujarati",
    "ha": "Hausa", "is": "Icelandic", "jv": "Javanese", "kn": "Kannada", "la": "Latin", "mk": "Macedonian",
    "ml": "Malayalam", "mr": "Marathi", "pa": "Punjabi", "pcm": "Nigerian Pidgin", "so": "Somali", "sq": "Albanian",
    "sw": "Swahili", "te": "Telugu",
}  # fmt: skip


@dataclass(frozen=True)
class Told:
    """What can be told of a text's language."""

    language: str
    letters: int
    script: str


class Language(Check):
    """Whether rows are in another language than most, or most in one the default backbone does not read."""

    name: ClassVar[str] = "language"
    title: ClassVar[str] = "Languages"

    def run(self, ground: Ground) -> Iterator[Finding]:
        """Rows out of place, several languages, or a language that asks for another backbone."""
        told = {part: [_tell(text, ground) for text in data.texts] for part, data in ground.parts}
        votes = Counter(one.language for one in told["train"] if one is not None and one.letters >= LEAST_LETTERS)
        if votes.total() < FEWEST:
            return
        (majority, count), *others = votes.most_common()
        shares = {name: round(votes[name] / votes.total(), 4) for name in votes}
        if count < MAJORITY * votes.total():
            said = ", ".join(f"{called(name)} {percent(shares[name])}" for name, _ in votes.most_common(4))
            yield Finding(
                self.name,
                "note",
                f"The training rows are in several languages: {said}.",
                "The default backbone reads English; what is learnt in one language helps another only with a "
                "backbone that knows both.",
                "Give a multilingual encoder with --backbone, and compare the scores of each language by itself.",
                numbers={"shares": dict(list(shares.items())[:20])},
            )
            return
        scripts = Counter(one.script for one in told["train"] if one is not None and one.language == majority)
        usual = {name for name, rows in scripts.items() if rows >= USUAL * scripts.total()}
        yield from self._strangers(ground, told, majority, usual)
        if majority != READ_BY_DEFAULT:
            yield Finding(
                self.name,
                "note",
                f"Most training rows ({percent(count / votes.total())}) are in {called(majority)}.",
                "The default backbone was trained on English and reads other languages poorly.",
                "Give an encoder of that language, or a multilingual one, with --backbone.",
                numbers={"language": majority, "others": len(others)},
            )

    def _strangers(
        self, ground: Ground, told: dict[Part, list[Told | None]], majority: str, scripts: set[str]
    ) -> Iterator[Finding]:
        rows = []
        for part, data in ground.parts:
            for example, one in zip(data, told[part], strict=True):
                if one is not None and (over := strangeness(example.text, one, majority, scripts)) is not None:
                    name = called(one.language) if one.language != majority else f"{one.script.capitalize()} letters"
                    rows.append(named(part, example, note=name, score=round(over, 2)))
        if not rows:
            return
        rows.sort(key=lambda row: -(row.score or 0))
        counts = Counter(row.note for row in rows)
        named_ones = ", ".join(f"{name} {count}" for name, count in counts.most_common(6))
        yield Finding(
            self.name,
            "warning" if share_of(ground, rows) >= MANY else "note",
            f"{rows_said(ground, rows)} {'are' if len(rows) > 1 else 'is'} not in {called(majority)} as the others "
            f"are: {named_ones}.",
            "A backbone of one language reads little in another: such rows teach nothing, and count as errors.",
            "Translate them, leave them out, or give a multilingual encoder with --backbone; if you will be asked in "
            "these languages, add more rows of them.",
            tuple(rows),
            {"majority": majority, "rows": len(rows), "languages": dict(counts)},
        )


def strangeness(text: str, told: Told, majority: str, scripts: set[str]) -> float | None:
    """How much likelier another language is than the majority's, written in `scripts`; None where that is not sure."""
    if told.script in scripts and (told.language == majority or told.letters < LEAST_LETTERS):
        return None
    scores = dict(_identifier().rank(_bare(text)))
    over = float(scores[told.language] - scores.get(majority, min(scores.values())))
    return over if over >= MARGIN or told.script not in scripts else None


def tell(text: str) -> Told | None:
    """The language of a text; None where it has too few letters to ask."""
    bare = _bare(text)
    letters = [mark for mark in bare if mark.isalpha()]
    if len(letters) < LEAST_LETTERS_OTHER_SCRIPT:
        return None
    script = Counter(map(_script, letters)).most_common(1)[0][0]
    return Told(_identifier().classify(bare)[0], len(letters), script)


def _bare(text: str) -> str:
    """What has a language: without addresses, tags, numbers and names of users."""
    plain = unicodedata.normalize("NFKC", text[: 2 * LOOKED_AT])  # full-width Latin letters are Latin letters
    return " ".join(_NO_LANGUAGE.sub(" ", plain).split())[:LOOKED_AT]


def called(language: str) -> str:
    """A language's English name; its ISO code where it is rare."""
    return NAMES.get(language, f"language {language!r}")


def _tell(text: str, ground: Ground) -> Told | None:
    ground.tick()
    return tell(text)


@cache
def _script(letter: str) -> str:
    """The first word of the letter's name: `LATIN`, `CYRILLIC`, `CJK`."""
    return unicodedata.name(letter, "?").partition(" ")[0]


@cache
def _identifier() -> LanguageIdentifier:
    """The model that comes with the package: arrays, no pickle."""
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=False)
