"""A segment is read as it was written, or not at all."""

import json
import multiprocessing
import os
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from fewtune.backbones.prefix.segment import Damaged, Segment, as_keys, write

RNG = np.random.default_rng(0)


def some(count, width=8, dtype=torch.float32):
    """Records of 0 to 4 rows by random key."""
    return {RNG.bytes(16): torch.from_numpy(RNG.normal(size=(n % 5, width))).to(dtype) for n in range(count)}


def test_records_of_any_length_come_back_bit_for_bit(tmp_path):
    for dtype in (torch.float32, torch.bfloat16):
        records = some(50, dtype=dtype)
        write(tmp_path / "a.safetensors", records, {"name": "ümlaut"})
        segment = Segment(tmp_path / "a.safetensors")
        assert segment.about == {"name": "ümlaut"}
        found = segment.records()
        assert found.keys() == records.keys()
        for key, value in found.items():
            assert value.dtype == dtype
            assert torch.equal(value, records[key])


def test_only_what_is_there_is_found(tmp_path):
    records = some(30)
    write(tmp_path / "a.safetensors", records, {})
    segment = Segment(tmp_path / "a.safetensors")
    keys, others = list(records), list(some(30))
    assert (segment.find(as_keys(keys)) >= 0).all()
    assert (segment.find(as_keys(others)) == -1).all()
    half = [key[:8] + bytes(8) for key in keys]  # the same first half is not the same key
    assert (segment.find(as_keys(half)) == -1).all()
    for key, place in zip(keys, segment.find(as_keys(keys)), strict=True):
        assert torch.equal(segment.read(place), records[key])


def test_it_is_an_ordinary_safetensors_file(tmp_path):
    records = some(7)
    write(tmp_path / "a.safetensors", records, {})
    opened = load_file(tmp_path / "a.safetensors")
    assert opened["values"].shape == (sum(map(len, records.values())), 8)
    assert opened["starts"].tolist()[-1] == len(opened["values"])


@pytest.mark.parametrize("share", [0.0, 0.001, 0.1, 0.5, 0.9, 0.999])
def test_cut_short_anywhere_it_is_refused(tmp_path, share):
    path = tmp_path / "a.safetensors"
    write(path, some(40), {})
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(Damaged):
        Segment(path)


def test_longer_than_it_was_it_is_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    write(path, some(3), {})
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(Damaged):
        Segment(path)


def test_no_flipped_bit_goes_unseen(tmp_path):
    """Wherever it is, the file is refused, or the record is, or what comes back is what was written."""
    path = tmp_path / "a.safetensors"
    records = some(12)
    write(path, records, {"name": "x"})
    whole = path.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        raw = bytearray(whole)
        raw[place] ^= 1 << (place % 8)
        path.write_bytes(raw)
        try:
            segment = Segment(path)
            found = dict.fromkeys(records)
            for key, at in zip(records, segment.find(as_keys(list(records))), strict=True):
                found[key] = segment.read(at) if at >= 0 else None
        except Damaged:
            refused += 1
            continue
        assert all(value is None or torch.equal(value, records[key]) for key, value in found.items())
    assert refused > 0.8 * len(whole) / 3


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 8, b"\xff" * 4096, b"\x02\0\0\0\0\0\0\0{}", b"\x02\0\0\0\0\0\0\0[]", b"not a tensor in sight"],
    ids=["empty", "zeros", "ones", "no tensors", "a list", "text"],
)
def test_something_else_is_refused(tmp_path, content):
    (tmp_path / "a.safetensors").write_bytes(content)
    with pytest.raises(Damaged):
        Segment(tmp_path / "a.safetensors")


def test_another_safetensors_file_is_refused(tmp_path):
    save_file({"weight": torch.ones(3, 3)}, tmp_path / "a.safetensors")
    with pytest.raises(Damaged):
        Segment(tmp_path / "a.safetensors")


def test_cut_short_under_its_reader_it_is_a_record_not_read(tmp_path):
    """Where a memory map would end the process."""
    path = tmp_path / "a.safetensors"
    records = {bytes([n]) * 16: torch.ones(64, 64) * n for n in range(1, 40)}
    write(path, records, {})
    segment = Segment(path)
    os.truncate(path, path.stat().st_size // 2)
    outcomes = set()
    for place in range(len(segment)):
        try:
            assert torch.equal(segment.read(place), torch.ones(64, 64) * (place + 1))
            outcomes.add("read")
        except Damaged:
            outcomes.add("refused")
    assert outcomes == {"read", "refused"}


def test_deleted_it_can_still_be_read_by_who_has_it_open(tmp_path):
    records = some(5)
    write(tmp_path / "a.safetensors", records, {})
    segment = Segment(tmp_path / "a.safetensors")
    (tmp_path / "a.safetensors").unlink()
    assert segment.records().keys() == records.keys()


def write_on_and_on(folder, written):
    """Segment after segment; says when the first is there."""
    torch.set_num_threads(1)  # the parent's threads are not here
    number = 0
    while True:
        number += 1
        records = {number.to_bytes(8, "little") + bytes([n]) * 8: torch.full((200, 64), float(n)) for n in range(60)}
        write(folder / f"{number}.safetensors", records, {})
        written.set()


def test_killed_while_writing_it_leaves_nothing_half(tmp_path):
    forking, seen, half = multiprocessing.get_context("fork"), 0, 0
    for attempt in range(4):
        folder, written = tmp_path / str(attempt), forking.Event()
        folder.mkdir()
        process = forking.Process(target=write_on_and_on, args=(folder, written), daemon=True)
        process.start()
        assert written.wait(timeout=600)
        time.sleep(0.013 * attempt)
        process.kill()
        process.join()
        for path in folder.glob("[!.]*.safetensors"):
            for key, value in Segment(path).records().items():
                assert torch.equal(value, torch.full((200, 64), float(key[8])))
            seen += 1
        half += len(list(folder.glob(".*.tmp")))
    assert seen >= 4
    assert half <= 4


def test_what_is_said_of_it_is_plain_json(tmp_path):
    write(tmp_path / "a.safetensors", some(1), {"backbone": "x", "layers": 4})
    raw = (tmp_path / "a.safetensors").read_bytes()
    header = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])
    assert json.loads(header["__metadata__"]["about"]) == {"backbone": "x", "layers": 4}
