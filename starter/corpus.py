"""Read the corpus, clean it, and write the text the starter is trained, watched and judged on.

    python starter/corpus.py [FOLDER] [--out starter/build/corpus]

FOLDER holds the .xz files named in SOURCES. Written are train.jsonl, validation.jsonl, test.jsonl and counts.json; a
line is one document, {"source", "title", "text"}, or one prompt/completion row, {"source", "prompt", "completion"}.

Held out are whole children's books and whole groups of rows, never pieces: the first eight bytes of the SHA-256 of
"title|author" (for a row: of the longest sentence of its prompt, letters and digits alone, which its sister rows share
whatever template stands around it), taken modulo PARTS, are 0 for the validation part and 1 for the test part. The
paragraphs of held-out books are taken out of the training text too, wherever another volume repeats them. Each part
ends with the rows that sentences.py makes of its sentences.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import lzma
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import sentences

ROOT = Path(__file__).parent
DEFAULT_FOLDER = ROOT.parent.parent / "shared" / "data" / "corpus"
BUILD = ROOT / "build"
PARTS = 12
"""One book in PARTS is held out for the test, one for the validation curve."""
LONGEST_ROW = 1_400
"""Characters; a longer prompt and completion would not fit a training window."""
REPEATED_FROM = 60
"""Characters from which a paragraph that stands in a held-out book too is taken out of the training text."""

Document = dict[str, str]


class CorpusMissing(Exception):
    """The corpus is not where it was looked for."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Clean the corpus and write its three parts.")
    parser.add_argument("folder", nargs="?", type=Path, default=DEFAULT_FOLDER)
    parser.add_argument("--out", type=Path, default=BUILD / "corpus")
    given = parser.parse_args()
    try:
        counts = write(read(given.folder), given.out)
    except CorpusMissing as error:
        raise SystemExit(str(error)) from None
    print(json.dumps(counts, indent=1))


def read(folder: Path) -> Iterator[Document]:
    """Every document and row of the corpus, cleaned."""
    absent = [name for name in SOURCES if not (folder / name).is_file()]
    if absent:
        raise CorpusMissing(
            f"{folder} lacks {', '.join(absent)}. Give the folder of the corpus: python starter/corpus.py FOLDER."
        )
    for name, (source, documents) in SOURCES.items():
        text = lzma.decompress((folder / name).read_bytes()).decode("utf-8", errors="replace")
        for document in documents(text):
            yield {"source": source, **document}


def write(documents: Iterable[Document], out: Path) -> dict[str, Any]:
    """Part the documents, take repeated paragraphs out, write one file a part; what was counted."""
    parts: dict[str, list[Document]] = {"train": [], "validation": [], "test": []}
    for document in documents:
        parts[part(document)].append(document)
    held_out = {p for name in ("validation", "test") for d in parts[name] for p in paragraphs(d.get("text", ""))}
    parts["train"], repeated = _without(parts["train"], held_out)
    for rows in parts.values():
        rows.extend([row for document in rows if document["source"] in sentences.FROM for row in made_of(document)])
    out.mkdir(parents=True, exist_ok=True)
    for name, rows in parts.items():
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (out / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    counts = {name: _count(rows) for name, rows in parts.items()}
    report = {**counts, "repeated_paragraphs_taken_out": repeated, "held_out_books": _titles(parts)}
    (out / "counts.json").write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return report


def part(document: Document) -> str:
    """`train`, `validation` or `test`, by the hash the module's text states."""
    if document["source"] == "children":
        key = f"{document['title']}|{document['author']}"
    elif "prompt" in document:
        sentences = (re.sub(r"\W+", " ", part).strip().casefold() for part in re.split(r"[.!?\n]", document["prompt"]))
        key = max(sentences, key=len)
    else:
        return "train"
    number = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big") % PARTS
    return {0: "validation", 1: "test"}.get(number, "train")


def made_of(document: Document) -> Iterator[Document]:
    """The rows made of a document's sentences, the same ones each time."""
    for row in sentences.rows(document["text"], Random(document["title"])):
        yield {"source": sentences.SOURCE, **row}


def paragraphs(text: str) -> list[str]:
    """The paragraphs long enough to be known again."""
    return [paragraph for paragraph in text.split("\n\n") if len(paragraph) >= REPEATED_FROM]


def _without(documents: list[Document], held_out: set[str]) -> tuple[list[Document], int]:
    kept, repeated = [], 0
    for document in documents:
        if "text" in document:
            blocks = document["text"].split("\n\n")
            new = [block for block in blocks if block not in held_out]
            repeated += len(blocks) - len(new)
            document = {**document, "text": "\n\n".join(new)}
        kept.append(document)
    return kept, repeated


def _count(rows: list[Document]) -> dict[str, dict[str, int]]:
    documents = Counter(row["source"] for row in rows)
    size: Counter[str] = Counter()
    for row in rows:
        size[row["source"]] += len((row.get("text") or row["prompt"] + row["completion"]).encode())
    return {source: {"documents": documents[source], "bytes": size[source]} for source in documents}


def _titles(parts: dict[str, list[Document]]) -> dict[str, list[str]]:
    return {name: [d["title"] for d in parts[name] if "text" in d] for name in ("validation", "test")}


# --- books -----------------------------------------------------------------------------------------------------------

_BOOK = re.compile(r"^# Title: (?P<title>.+)$", re.MULTILINE)
_FIELD = re.compile(r"^## (Author|Year): .*$|^-{5,}\s*$", re.MULTILINE)
_START = re.compile(r"^\W*START OF (?:THE|THIS) PROJECT GUTENBERG.*$", re.MULTILINE | re.IGNORECASE)
_END = re.compile(
    r"^\W*(?:END OF (?:THE |THIS )?PROJECT GUTENBERG|START: FULL LICENSE).*\Z", re.MULTILINE | re.IGNORECASE | re.DOTALL
)
_LICENCE = re.compile(r"project gutenberg|\bgutenberg\.org|transcribed from the|e-?text prepared by", re.IGNORECASE)
_NOTE = re.compile(r"\[(?:Illustration|Transcriber'?s? note|Footnote|Pg|Page)\b[^\]]*\]", re.IGNORECASE)
_MARK = re.compile(r"(?<=\w)[ ]?\[\d{1,3}\]|(?<=[.,;:!?\"'])\[\d{1,3}\]")
_EMPHASIS = re.compile(r"(?<!\w)(_{1,2}|\*{1,3})(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)
_HEADING = re.compile(r"^#{1,6}\s*", re.MULTILINE)
_CHAPTER_LINE = re.compile(
    r"^\W*(?:(?:chapter|book|part|act|scene|section|letter|stave)\b.{0,70}|[IVXLC]+\.?\s.{0,70}|\d{1,3}\.?\s.{0,70}"
    r"|.{0,70}?[. ]{3,}\d{1,3})$",
    re.IGNORECASE,
)
_CONTENTS = re.compile(r"^\W*(?:table of )?contents\W*$", re.IGNORECASE)


def books(text: str) -> Iterator[Document]:
    """The books of one volume of them, each opened by `# Title:`, `## Author:`, `## Year:` and a rule."""
    heads = list(_BOOK.finditer(text))
    for head, following in zip(heads, [*heads[1:], None], strict=True):
        body = text[head.end() : following.start() if following else len(text)]
        author = re.search(r"^## Author: (.*)$", body, re.MULTILINE)
        cleaned = clean_book(_FIELD.sub("", body))
        if cleaned:
            yield {"title": head["title"].strip(), "author": author[1].strip() if author else "", "text": cleaned}


def clean_book(text: str) -> str:
    """The prose alone: no licence, no table of chapters, no page or footnote marks; a paragraph is one line."""
    text = tidy(text)
    start = _START.search(text)
    text = _END.sub("", text[start.end() :] if start else text)
    text = _MARK.sub("", _NOTE.sub("", text))
    text = _EMPHASIS.sub(r"\2", _HEADING.sub("", text))
    blocks = [block.strip("\n") for block in re.split(r"\n[ \t]*\n", text)]
    blocks = [block for block in drop_contents(blocks) if block.strip() and not _LICENCE.search(block)]
    return "\n\n".join(unwrap(block) for block in blocks)


_CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ue000-\uf8ff]")


def tidy(text: str) -> str:
    """Composed characters, plain line ends and blanks, no control characters."""
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " "))
    text = text.replace("\u00a0", " ").replace("\ufeff", "").replace("\u200b", "").replace("\u00ad", "")
    return _CONTROL.sub("", text)


def drop_contents(blocks: list[str]) -> list[str]:
    """Without a heading `Contents` and the chapter lines under it.

    The chapter line that opens the text is the last before prose and was named in the table already: it stays.
    """
    kept: list[str] = []
    listed: list[str] | None = None
    for block in blocks:
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        if lines and _CONTENTS.match(lines[0]):
            listed, lines = [], lines[1:]
        if listed is not None and all(_CHAPTER_LINE.match(line) for line in lines):
            listed += lines
            continue
        if listed and any(_opens(listed[-1], line) for line in listed[:-1]):
            kept.append(listed[-1])
        listed = None
        kept.append(block)
    return kept


def _opens(chapter: str, listed: str) -> bool:
    names = [re.findall(r"\w+", line.casefold())[:2] for line in (chapter, listed)]
    return names[0] == names[1]


def unwrap(block: str) -> str:
    """A paragraph broken hard at 60 to 80 characters as one line; verse and other short lines keep their ends."""
    lines = [re.sub(r" {2,}", " ", line.strip()) for line in block.splitlines() if line.strip()]
    if len(lines) < 2:
        return "".join(lines)
    wrapped = sum(len(line) for line in lines[:-1]) / (len(lines) - 1) >= 50
    return (" " if wrapped else "\n").join(lines)


# --- the other sources -----------------------------------------------------------------------------------------------


def stories(text: str) -> Iterator[Document]:
    """Two blank lines part a story from the next; its first line is its title."""
    for story in re.split(r"\n\s*\n\s*\n+", tidy(text)):
        if len(story) >= 200:
            yield {"title": story.strip().splitlines()[0], "text": clean_book(story)}


_LISTED = re.compile(r"^(?:spoken|written)/\S+( .*)?$")
_SPACED = (
    (r" ([,.;:!?%)\]]|n't\b|'(?:s|re|ve|ll|d|m)\b|'(?= |$))", r"\1"),
    (r"([(\[$#]) ", r"\1"),
    (r"(\w)- ", r"\1-"),
)


def masc(text: str) -> Iterator[Document]:
    """One sentence a line, words and marks parted by blanks: joined again; the list of files at the top is left out."""
    lines = [line.strip() for line in tidy(text).splitlines()]
    sentences = [line for line in lines if line and not _LISTED.match(line)]
    for start in range(0, len(sentences), 40):
        joined = " ".join(sentences[start : start + 40])
        for pattern, to in _SPACED:
            joined = re.sub(pattern, to, joined)
        yield {"title": f"masc {start}", "text": joined}


def speeches(text: str) -> Iterator[Document]:
    yield {"title": "speeches", "text": clean_book(text)}


def rust_book(text: str) -> Iterator[Document]:
    """Markdown: comments, link targets and include lines left out, code kept as it stands."""
    text = re.sub(r"<!--.*?-->", "", tidy(text), flags=re.DOTALL)
    text = re.sub(r"^\[[^\]]+\]: .*$|^\{\{#.*\}\}$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]+)\](?:\[[^\]]*\]|\([^)]*\))", r"\1", text)
    for chapter in re.split(r"(?m)^(?=# )", text):
        if len(chapter) >= 200:
            yield {"title": chapter.splitlines()[0].strip("# "), "text": re.sub(r"\n{3,}", "\n\n", chapter).strip()}


def rows(text: str) -> Iterator[Document]:
    """Prompt/completion rows that fit a window; the mark of an end that some carry is left out."""
    seen = set()
    for line in filter(None, text.split("\n")):  # not splitlines, which cuts at U+2028 inside a row
        row = json.loads(line)
        prompt, completion = (tidy(row[key].replace("<|endoftext|>", "")).strip() for key in ("prompt", "completion"))
        if prompt and completion and len(prompt) + len(completion) <= LONGEST_ROW and (prompt, completion) not in seen:
            seen.add((prompt, completion))
            yield {"prompt": prompt, "completion": completion}


SOURCES: dict[str, tuple[str, Callable[[str], Iterator[Document]]]] = {
    "classic_books_children.txt.xz": ("children", books),
    "classic_books_general.txt.xz": ("general", books),
    "stories_ccby.txt.xz": ("stories", stories),
    "masc.txt.xz": ("masc", masc),
    "us_speeches.txt.xz": ("speeches", speeches),
    "rust_book.txt.xz": ("rust_book", rust_book),
    "t0_train.jsonl.xz": ("t0", rows),
    "dolly_6400.jsonl.xz": ("dolly", rows),
}
"""File, the source's short name, how it is read."""

if __name__ == "__main__":
    main()
