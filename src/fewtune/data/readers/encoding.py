"""Bytes of a text file → text: byte-order marks, strict UTF-8, then a guess that is told to the person."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from fewtune.errors import EmptyData, UnreadableFile

MARKS = (  # UTF-32 first: its little-endian mark begins with UTF-16's
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
MAGIC = (
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a zip archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"(\xb5/\xfd", "a zstd archive"),
    (b"7z\xbc\xaf", "a 7z archive"),
    (b"\xd0\xcf\x11\xe0", "an old Excel or Word file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"PAR1", "a Parquet file"),
    (b"ARROW1", "an Arrow file"),
)
SAVE_AS_UTF8 = "Save it as UTF-8 and try again."
GIVE_A_TABLE = "Give a CSV, TSV, JSON, JSON lines, Parquet or .xlsx file."
_RUN = re.compile(rb"[\x80-\xff]{3,}")
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1a\x1c-\x1f\x7f]")


def read_bytes(path: Path) -> bytes:
    """The file's bytes, or an error that says why not."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UnreadableFile(
            f"The file cannot be read ({error.strerror or error}).", file=path, remedy="Check its permissions."
        ) from error
    if not data.strip():
        raise EmptyData("The file is empty.", file=path, remedy="Give a file with at least a header and two rows.")
    return data


def decode(data: bytes, path: Path) -> tuple[str, list[str]]:
    """Text of `data` and notes about its encoding.

    Raises
    ------
    UnreadableFile
        The bytes are no text, or text in no encoding that can be told.
    """
    for mark, encoding in MARKS:
        if data.startswith(mark):
            return _strict(data, encoding, path), [] if encoding == "utf-8-sig" else [f"Encoding: {encoding}."]
    _refuse_binary(data, path)
    if wide := _wide(data[:65536]):
        return _strict(data, wide, path), [f"Encoding: {wide}, without a mark."]
    try:
        return data.decode("utf-8"), []
    except UnicodeDecodeError as error:
        return _guess(data, path, error)


def _strict(data: bytes, encoding: str, path: Path) -> str:
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        what = f"The file begins as {encoding} but byte {error.start} is not ({error.reason})."
        raise UnreadableFile(what, file=path, remedy=SAVE_AS_UTF8) from error


def _refuse_binary(data: bytes, path: Path) -> None:
    for magic, kind in MAGIC:
        if data.startswith(magic):
            raise UnreadableFile(f"This is {kind}, not a text file.", file=path, remedy=GIVE_A_TABLE)
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        what = "This is a Python pickle, which can run any code when opened; fewtune never opens one."
        raise UnreadableFile(what, file=path, remedy=GIVE_A_TABLE)
    head = data[:65536]
    if len(_CONTROL.findall(head)) > 2 + 0.02 * len(head) or (
        b"\x00" in head and not _wide(head) and not _is_utf8(data)
    ):
        raise UnreadableFile("This is a binary file, not a text file.", file=path, remedy=GIVE_A_TABLE)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return data.count(b"\x00") * 10 < len(data)


def _wide(head: bytes) -> str | None:
    """UTF-16 without a mark: every other byte of mostly Latin text is zero."""
    even, odd = head[0::2].count(0), head[1::2].count(0)
    half = len(head) // 2
    if odd > 0.3 * half and even < 0.05 * half:
        return "utf-16-le"
    return "utf-16-be" if even > 0.3 * half and odd < 0.05 * half else None


def _guess(data: bytes, path: Path, error: UnicodeDecodeError) -> tuple[str, list[str]]:
    lenient = data.decode("utf-8", errors="replace")
    wrong = lenient.count("\ufffd") - data.count("\ufffd".encode())
    right = sum(1 for character in lenient if ord(character) > 127) - lenient.count("\ufffd")
    if right > 4 * wrong:
        line = data.count(b"\n", 0, error.start) + 1
        said = f"{wrong} damaged characters (the first in line {line}) are not UTF-8 as the rest is; read as \ufffd."
        return lenient, [f"Encoding: UTF-8. {said}"]
    encoding = _best_guess(data)
    if encoding is None:
        what = f"Byte {error.start} is not UTF-8, and no other encoding fits."
        raise UnreadableFile(what, file=path, remedy=SAVE_AS_UTF8)
    said = f"Encoding: {encoding}, guessed. If letters look wrong, save the file as UTF-8."
    return data.decode(encoding), [said]


def _best_guess(data: bytes) -> str | None:
    """Windows-1252 where letters beyond ASCII stand alone, as in Western languages; else charset-normalizer's guess.

    On a few lines the latter takes é for č: Central European code pages differ in little else.
    """
    head = data[:200_000]
    beyond = sum(1 for byte in head if byte > 127)
    in_runs = sum(map(len, _RUN.findall(head)))
    if in_runs < 0.2 * beyond and _decodes(data, "cp1252"):
        return "cp1252"
    if _is_japanese(data):
        return "cp932"
    from charset_normalizer import from_bytes

    best = from_bytes(head).best()
    candidates = [best.encoding] if best is not None else []
    return next((name for name in candidates if _decodes(data, name)), None)


def _is_japanese(data: bytes) -> bool:
    """Windows' Japanese code page, which short texts are otherwise taken for Korean in: a third of it is kana."""
    if not _decodes(data, "cp932"):
        return False
    beyond = [mark for mark in data.decode("cp932") if ord(mark) > 127]
    return 3 * sum("\u3040" <= mark <= "\u30ff" for mark in beyond) > len(beyond)


def _decodes(data: bytes, encoding: str) -> bool:
    try:
        data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return False
    return True
