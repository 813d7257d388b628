"""One file of records: a text's key, and the rows that a frozen backbone gave for it.

A segment is an ordinary safetensors file, written whole or not at all. Its length and the sum of its index are checked
when it is opened, the sum of each record when that is read: what was cut short or has flipped a bit is never used.

Records are read by position and not through a memory map: a mapped file that is cut short or taken away under its
reader (a home directory on a network) kills the process, while a read that comes short is a record not found.

Legend: N records, R rows of all records, D width.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fewtune.data.files import written_whole

Keys = NDArray[np.int64]
"""[N, 2] the 16 bytes of each key."""
FORMAT = 1
SUFFIX = ".safetensors"
LONGEST_HEADER = 1 << 20
KEY_BYTES = 16
_TYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64}


class Damaged(ValueError):
    """The file is not what was written."""


class Segment:
    """An open segment. Deleting its file takes nothing from whoever has it open.

    Raises
    ------
    Damaged : cut short, changed, or something else.
    OSError : it cannot be opened or read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = path.open("rb", buffering=0)
        try:
            self._read_index()
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            self.close()
            raise Damaged(f"{path}: {error}") from error
        except BaseException:
            self.close()
            raise

    def _read_index(self) -> None:
        self.bytes = os.fstat(self._file.fileno()).st_size
        length = int.from_bytes(self._at(0, 8), "little")
        if length > min(self.bytes, LONGEST_HEADER):
            raise ValueError("no header")
        header: dict[str, Any] = json.loads(self._at(8, length))
        said = header.pop("__metadata__")
        self._start = 8 + length
        if self._start + max(int(part["data_offsets"][1]) for part in header.values()) != self.bytes:
            raise ValueError("cut short")
        index = {name: self._at(*self._place(header[name])) for name in ("keys", "starts", "sums")}
        if _sum(*index.values()) != int(said["index"]) or int(said["format"]) != FORMAT:
            raise ValueError("another index than was written")
        self.about: dict[str, Any] = json.loads(said["about"])
        self.keys: Keys = np.frombuffer(index["keys"], dtype=np.int64).reshape(-1, 2)
        self._starts = np.frombuffer(index["starts"], dtype=np.int64)
        self._sums = np.frombuffer(index["sums"], dtype=np.int64)
        self._type = _TYPES[header["values"]["dtype"]]
        self._width = int(header["values"]["shape"][1])
        self._values, _ = self._place(header["values"])

    def __len__(self) -> int:
        return len(self.keys)

    def find(self, keys_N2: Keys) -> NDArray[np.int64]:
        """[N] the place of each key here; -1 where it is not."""
        if not len(self.keys):
            return np.full(len(keys_N2), -1, dtype=np.int64)
        places = np.searchsorted(self.keys[:, 0], keys_N2[:, 0]).clip(max=len(self.keys) - 1)
        return np.where((self.keys[places] == keys_N2).all(1), places, -1)

    def read(self, place: int) -> torch.Tensor:
        """[rows, D] the record at a place. Raises Damaged and OSError."""
        first, end = self._starts[place : place + 2].tolist()
        row = self._width * self._type.itemsize
        raw = self._at(self._values + first * row, (end - first) * row)
        if zlib.crc32(raw) != self._sums[place]:
            raise Damaged(f"{self.path}: a record is not what was written")
        if not raw:  # a text without tokens
            return torch.empty(0, self._width, dtype=self._type)
        return torch.frombuffer(raw, dtype=self._type).view(end - first, self._width)

    def records(self) -> dict[bytes, torch.Tensor]:
        """Every record. Raises Damaged and OSError."""
        return {self.keys[place].tobytes(): self.read(place) for place in range(len(self))}

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def _place(self, part: dict[str, Any]) -> tuple[int, int]:
        begin, end = map(int, part["data_offsets"])
        return self._start + begin, end - begin

    def _at(self, start: int, length: int) -> bytearray:
        """`length` bytes from `start`. Never moves the file's own position, which forked processes share."""
        raw = bytearray()
        while len(raw) < length:
            part = os.pread(self._file.fileno(), length - len(raw), start + len(raw))
            if not part:
                raise Damaged(f"{self.path}: cut short")
            raw += part
        return raw


def write(path: Path, records: Mapping[bytes, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write records as a segment, whole or not at all. Raises OSError.

    Parameters
    ----------
    records : by key of 16 bytes; [rows, D] each, of one type and width.
    about : what a person wants to read of them.
    """
    from safetensors.torch import save

    keys_N2 = as_keys(list(records))
    order = np.lexsort((keys_N2[:, 1], keys_N2[:, 0]))
    listed = list(records.values())
    values = [listed[place].contiguous() for place in order]
    index = {
        "keys": keys_N2[order],
        "starts": np.cumsum([0, *(len(value) for value in values)], dtype=np.int64),
        "sums": np.asarray([_sum(_raw(value)) for value in values], dtype=np.int64),
    }
    tensors = {name: torch.from_numpy(np.ascontiguousarray(part)) for name, part in index.items()}
    said = {"format": str(FORMAT), "about": json.dumps(dict(about))}
    said["index"] = str(_sum(*(part.tobytes() for part in index.values())))
    with written_whole(path) as file:
        file.write(save({**tensors, "values": torch.cat(values)}, said))


def as_keys(keys: list[bytes]) -> Keys:
    """[N, 2] keys as numbers, which are searched all at once."""
    return np.frombuffer(b"".join(keys), dtype=np.int64).reshape(-1, 2)


def _raw(value: torch.Tensor) -> bytes:
    return value.view(torch.uint8).numpy().tobytes() if value.numel() else b""


def _sum(*parts: bytes | bytearray) -> int:
    total = 0
    for part in parts:
        total = zlib.crc32(part, total)
    return total
