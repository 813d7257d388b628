"""What is finished is kept and never half read; what cannot be kept is said."""

import errno
import json
import multiprocessing
import os
import subprocess

import numpy as np
import pytest

from fewtune.errors import StoreError
from fewtune.methods.base import TrainingLog
from fewtune.study.store import RunStore, append_line, read_lines, write_json
from fewtune.tune.run import Outcome

LOG = TrainingLog([1, 2], [0.5, 0.25], [2], [0.4], "own", 2, 1, True)


def outcome(value=0.25, log=None):
    return Outcome(np.full((3, 2), value), 1.5, log, ("a note", "ümlaut"), 17)


def same(found, wanted):
    np.testing.assert_array_equal(found.probs, wanted.probs)
    assert found.probs.dtype == wanted.probs.dtype
    return (found.seconds, found.log, found.notes, found.trainable_parameters) == (
        wanted.seconds,
        wanted.log,
        wanted.notes,
        wanted.trainable_parameters,
    )


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "study")


@pytest.fixture
def full_disk(tmp_path):
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_what_was_put_is_got_here_and_in_a_new_process(store):
    for key, one in (("a", outcome()), ("b", outcome(1 / 3, LOG))):
        store.put(key, one, {"method": "probe"})
        assert same(store.get(key), one)
        assert same(RunStore(store.folder).get(key), one)
    assert len(RunStore(store.folder)) == 2
    assert store.get("c") is None


def test_losses_that_are_no_numbers_survive(store):
    log = TrainingLog([1], [float("nan")], [1], [float("inf")])
    store.put("a", outcome(log=log), {})
    found = RunStore(store.folder).get("a").log
    assert np.isnan(found.train_loss[0])
    assert found.validation_loss == [float("inf")]


def test_a_torn_last_line_is_passed_over_and_not_glued_to_the_next(store):
    for key in "abc":
        store.put(key, outcome(), {})
    path = store.folder / "runs.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    again = RunStore(store.folder)
    assert [again.get(key) is not None for key in "abc"] == [True, True, False]
    again.put("d", outcome(), {})
    last = RunStore(store.folder)
    assert [last.get(key) is not None for key in "abcd"] == [True, True, False, True]


@pytest.mark.parametrize("cut", range(0, 60, 7))
def test_a_line_cut_anywhere_is_never_read_as_whole(store, cut):
    store.put("a", outcome(), {})
    path = store.folder / "runs.jsonl"
    path.write_bytes(path.read_bytes()[:cut])
    assert RunStore(store.folder).get("a") is None


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\x00\x01",
        b"[]",
        b"null",
        b"3",
        b'{"key": "a"}',
        b'{"key": "a", "seconds": 1, "notes": [], "log": {"x": 1}}',
        b'{"key": ["a"]}',
        b'{"key": "a", "seconds": "1", "notes": null, "log": 3, "trainable_parameters": 0}',
        b"[" * 9999,
    ],
)
def test_lines_of_something_else_are_passed_over(store, line):
    store.put("b", outcome(), {})
    (store.folder / "arrays" / "a.npz").write_bytes((store.folder / "arrays" / "b.npz").read_bytes())
    path = store.folder / "runs.jsonl"
    path.write_bytes(line + b"\n" + path.read_bytes())
    again = RunStore(store.folder)
    assert again.get("a") is None
    assert same(again.get("b"), outcome())


def test_a_deleted_array_means_the_run_is_done_again(store):
    store.put("a", outcome(), {})
    (store.folder / "arrays" / "a.npz").unlink()
    assert store.get("a") is None
    assert RunStore(store.folder).get("a") is None
    store.put("a", outcome(0.5), {})
    assert same(RunStore(store.folder).get("a"), outcome(0.5))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_a_damaged_array_means_the_run_is_done_again(store, share):
    store.put("a", outcome(), {})
    path = store.folder / "arrays" / "a.npz"
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    assert RunStore(store.folder).get("a") is None


def test_an_array_of_flipped_bits_is_not_read(store):
    store.put("a", outcome(), {})
    path = store.folder / "arrays" / "a.npz"
    raw = bytearray(path.read_bytes())
    place = raw.index(np.full(3, 0.25).tobytes())
    raw[place + 5] ^= 0xFF
    path.write_bytes(bytes(raw))
    assert RunStore(store.folder).get("a") is None


def test_a_pickle_among_the_arrays_is_not_opened(store):
    store.put("a", outcome(), {})
    np.savez(store.folder / "arrays" / "a.npz", probs=np.asarray([{"an": "object"}], dtype=object))
    assert RunStore(store.folder).get("a") is None


def test_a_file_half_written_by_a_kill_is_left_alone(store):
    (store.folder / "arrays" / ".a.npz.123.tmp").write_bytes(b"half")
    assert RunStore(store.folder).get("a") is None
    store.put("a", outcome(), {})
    assert same(RunStore(store.folder).get("a"), outcome())


def test_no_temporary_file_is_left(store):
    store.put("a", outcome(), {})
    store.write_json("study.json", {"a": 1})
    assert sorted(path.name for path in store.folder.rglob("*") if path.is_file()) == [
        "a.npz",
        "runs.jsonl",
        "study.json",
    ]


def write_many(folder, name):
    store = RunStore(folder)
    for number in range(40):
        store.put(f"{name}{number}", outcome(number), {"method": name})


def test_two_processes_on_one_folder(tmp_path):
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=write_many, args=(tmp_path, name)) for name in "ab"]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    store = RunStore(tmp_path)
    assert len(store) == 80
    assert all(same(store.get(f"{name}{number}"), outcome(number)) for name in "ab" for number in range(40))


def test_two_stores_see_what_was_there_when_they_were_opened(store):
    other = RunStore(store.folder)
    store.put("a", outcome(), {})
    assert other.get("a") is None
    other.put("a", outcome(), {})
    assert same(RunStore(store.folder).get("a"), outcome())
    assert len(RunStore(store.folder)) == 1


def test_a_full_disk_is_said_and_what_was_there_stays(full_disk):
    store = RunStore(full_disk / "study")
    store.put("a", outcome(), {})
    big = Outcome(np.zeros((100_000, 2)), 1.0)
    with pytest.raises(StoreError, match=r"No space left.*Free some space.*kept"):
        store.put("b", big, {})
    assert same(RunStore(store.folder).get("a"), outcome())
    assert RunStore(store.folder).get("b") is None
    assert [path.name for path in (store.folder / "arrays").iterdir()] == ["a.npz"]


def test_a_model_that_does_not_fit_on_the_disk(full_disk, tiny_encoder):
    from fewtune import model_folder
    from fewtune.methods.head import LinearHead
    from fewtune.methods.probe import FittedProbe, Probe
    from fewtune.recipe import Recipe

    head = LinearHead(np.zeros((2, 32), dtype=np.float32), np.zeros(2, dtype=np.float32))
    model = model_folder.Model(FittedProbe(tiny_encoder, head), Recipe(Probe()), ("a", "b"))
    with pytest.raises(StoreError, match="Free some space"):
        model_folder.save(model, tiny_encoder, full_disk / "model")
    assert list(full_disk.iterdir()) == []


def test_a_disk_that_fills_up_between_array_and_line(store, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(StoreError, match="No space left"):
        store.put("a", outcome(), {})
    monkeypatch.undo()
    assert store.get("a") is None
    assert RunStore(store.folder).get("a") is None


def test_a_line_written_in_part_is_said(store, monkeypatch):
    inner = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: inner(descriptor, data[: len(data) // 2]))
    with pytest.raises(StoreError):
        store.put("a", outcome(), {})
    monkeypatch.undo()
    assert RunStore(store.folder).get("a") is None


def test_folders_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "inside"):
        with pytest.raises(StoreError, match="--out"):
            RunStore(folder)
    with pytest.raises(StoreError, match="--out"):
        RunStore(tmp_path / ("x" * 300))

    def refused(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    # Root may write anywhere, so the refusal is played.
    monkeypatch.setattr("pathlib.Path.mkdir", refused)
    with pytest.raises(StoreError, match="no permission"):
        RunStore(tmp_path / "study")


def test_a_folder_where_the_list_should_be(tmp_path):
    (tmp_path / "runs.jsonl").mkdir()
    with pytest.raises(StoreError):
        RunStore(tmp_path)


def test_json_is_whole_or_absent(tmp_path, monkeypatch):
    path = write_json(tmp_path / "a.json", {"text": "ümlaut 😀 \ud800"})
    assert json.loads(path.read_text(encoding="utf-8", errors="surrogatepass"))["text"].startswith("ümlaut 😀")
    before = path.read_bytes()

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError):
        write_json(path, {"other": 1})
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_lines_are_appended_in_one_write(tmp_path, monkeypatch):
    written = []
    inner = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: written.append(data) or inner(descriptor, data))
    append_line(tmp_path / "runs.jsonl", {"key": "a", "text": "two\nlines"})
    assert len(written) == 1
    assert written[0].count(b"\n") == 1
    assert [line["key"] for line in read_lines(tmp_path / "runs.jsonl")] == ["a"]
