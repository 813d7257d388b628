"""What was computed once is not computed again, wherever it is kept; and nothing that goes wrong with that is fatal."""

import errno
import gc
import os
import subprocess
import tempfile

import pytest
import torch
from prefix_worlds import key, texts, value

from fewtune.backbones.prefix import answers, segment, shelf
from fewtune.backbones.prefix.limits import Room
from fewtune.errors import UsageError

NUMBERS = tuple(range(1, 40))


def right(found, numbers=NUMBERS):
    assert found.keys() == {key(number) for number in numbers}
    return all(torch.equal(found[key(number)], value(number)) for number in numbers)


def segments(folder):
    return sorted(folder.rglob("*.safetensors"))


def test_in_memory_it_is_computed_once(opened, counted):
    one = opened()
    assert right(one.get(texts(*NUMBERS)))
    assert right(one.get(texts(*NUMBERS[::-1])))
    assert set(counted.seen.values()) == {1}


def test_from_disk_it_is_not_computed_again(opened, counted, tmp_path, worth_writing):
    assert right(opened().get(texts(*NUMBERS)))
    assert len(segments(tmp_path)) == 1
    for room in (0, 1 << 30):
        assert right(opened(room).get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_only_what_is_missing_is_computed(opened, counted, worth_writing):
    opened().get(texts(*NUMBERS[:20]))
    assert right(opened().get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_little_that_was_cheap_waits_for_more_and_is_written_at_the_end(opened, counted, tmp_path):
    one = opened()
    for number in NUMBERS:
        one.get(texts(number))
    assert segments(tmp_path) == []
    answers._flush_all()
    assert len(segments(tmp_path)) == 1
    assert right(opened().get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_what_took_long_is_written_at_once(opened, counted, tmp_path, monkeypatch):
    monkeypatch.setattr(answers, "WORTH_SECONDS", 0.0)
    opened().get(texts(1))
    assert len(segments(tmp_path)) == 1


def test_much_is_written_as_it_is_made(opened, counted, tmp_path, monkeypatch):
    """A kill in the middle costs the last segment at most."""
    monkeypatch.setattr(answers, "SEGMENT_BYTES", 2000)
    one = opened()
    made = []

    def stopping(tokens):
        for block in counted(tokens):
            made.append(len(segments(tmp_path)))
            if len(made) == 30:
                raise KeyboardInterrupt
            yield block

    one.compute = stopping
    with pytest.raises(KeyboardInterrupt):
        one.get(texts(*NUMBERS))
    assert made[-1] >= 3
    assert right(opened().get(texts(*NUMBERS)))
    assert sum(counted.seen.values()) < len(NUMBERS) + 12


def test_memory_is_bounded_and_the_rest_is_read_from_disk(opened, counted, worth_writing):
    one = opened(room=2000)
    one.get(texts(*NUMBERS))
    assert 0 < sum(held.nbytes for held in one.memory.values()) <= 2000
    for _ in range(3):
        assert right(one.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_preparing_computes_and_holds_no_more_than_there_is_room_for(opened, counted):
    one = opened(room=0)
    one.prepare(texts(*NUMBERS))
    one.prepare(texts(*NUMBERS))
    assert one.memory == {}
    assert right(one.get(texts(*NUMBERS)))
    roomy = opened()
    roomy.prepare(texts(*NUMBERS))
    assert len(roomy.memory) == len(NUMBERS), "read from disk before a fork, so that workers share it"
    assert set(counted.seen.values()) == {1}


def test_room_is_given_back_by_what_is_gone(counted, opened):
    room = Room(1 << 20)
    one = answers.Answers(counted, folder=None, about={}, room=room)
    one.get(texts(*NUMBERS))
    assert room.left < 1 << 20
    del one
    gc.collect()
    assert room.left == 1 << 20


def test_progress_is_told_of_every_text_once(opened, worth_writing):
    for numbers in (NUMBERS[:10], NUMBERS, NUMBERS):
        told = []
        opened().get(texts(*numbers), told.append)
        assert sum(told) == len(numbers)


# What goes wrong.


def refusing(code):
    def refuse(*_args, **_options):
        raise OSError(code, os.strerror(code))

    return refuse


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EIO, errno.EDQUOT])
@pytest.mark.parametrize("room", [0, 1 << 30])
def test_a_folder_that_cannot_be_written(opened, counted, tmp_path, monkeypatch, worth_writing, code, room):
    """In memory, or where that is full in a temporary file; tried once and not for every segment."""
    inner, tried = segment.written_whole, []

    def only_elsewhere(path):
        if path.is_relative_to(tmp_path / "prefix"):
            tried.append(path)
            refusing(code)()
        return inner(path)

    monkeypatch.setattr(segment, "written_whole", only_elsewhere)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(answers, "SEGMENT_BYTES", 1000)
    one = opened(room)
    for _ in range(3):
        assert right(one.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}
    assert len(tried) == 1
    assert len(one.memory) == (len(NUMBERS) if room else 0)
    assert segments(tmp_path) == [], "a temporary file has no name"


def test_no_place_at_all(opened, counted, monkeypatch, worth_writing):
    monkeypatch.setattr(segment, "written_whole", refusing(errno.ENOSPC))
    monkeypatch.setattr(tempfile, "mkdtemp", refusing(errno.ENOENT))
    one = opened(room=0)
    for _ in range(3):
        assert right(one.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_no_cache_folder(opened, counted):
    one = opened(folder=None)
    for _ in range(2):
        assert right(one.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_a_file_where_the_folder_should_be(opened, counted, tmp_path, worth_writing):
    (tmp_path / "prefix").write_text("")
    one = opened()
    for _ in range(2):
        assert right(one.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_a_full_disk(counted, tmp_path, worth_writing):
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", str(place)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting needs root")
    try:
        one = answers.Answers(counted, folder=place / "prefix" / "kind", about={}, room=Room(0))
        assert right(one.get(texts(*NUMBERS)))
        assert right(one.get(texts(*NUMBERS)))
        assert set(counted.seen.values()) == {1}
        assert list(place.rglob("*.*")) == []
    finally:
        one = None
        gc.collect()  # what is open keeps the disk busy
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_damaged_segment_is_computed_again_and_replaced(opened, counted, tmp_path, worth_writing):
    opened().get(texts(*NUMBERS))
    (path,) = segments(tmp_path)
    raw = bytearray(path.read_bytes())
    raw[-40:] = bytes(40)
    path.write_bytes(raw)
    again = opened()
    assert right(again.get(texts(*NUMBERS)))
    assert not path.exists()
    assert right(opened().get(texts(*NUMBERS)))
    assert max(counted.seen.values()) == 2


def test_one_that_is_cut_short_too(opened, counted, tmp_path, worth_writing):
    opened().get(texts(*NUMBERS))
    (path,) = segments(tmp_path)
    path.write_bytes(path.read_bytes()[:-1])
    assert right(opened().get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {2}


def test_cut_short_while_in_use(opened, counted, tmp_path, worth_writing):
    one = opened(room=0)
    one.get(texts(*NUMBERS))
    (path,) = segments(tmp_path)
    os.truncate(path, path.stat().st_size // 2)
    assert right(one.get(texts(*NUMBERS)))
    assert right(one.get(texts(*NUMBERS)))
    assert max(counted.seen.values()) == 2


def test_deleted_while_in_use(opened, counted, tmp_path, worth_writing):
    import shutil

    one = opened(room=0)
    one.get(texts(*NUMBERS[:20]))
    shutil.rmtree(tmp_path / "prefix")
    assert right(one.get(texts(*NUMBERS)))
    assert right(one.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}, "who has it open can read on"
    assert len(segments(tmp_path)) == 1
    assert right(opened().get(texts(*NUMBERS)))
    assert max(counted.seen.values()) == 2


def test_half_a_file_left_by_a_kill_is_not_looked_at(opened, counted, tmp_path, worth_writing):
    opened().get(texts(*NUMBERS))
    (path,) = segments(tmp_path)
    path.rename(path.with_name(f".{path.name}.0123.tmp"))
    assert right(opened().get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {2}


def test_many_small_segments_become_one(opened, counted, tmp_path, monkeypatch, worth_writing):
    monkeypatch.setattr(shelf, "MANY", 4)
    for number in NUMBERS:
        opened().get(texts(number))
    assert len(segments(tmp_path)) <= 5
    assert right(opened().get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def test_merging_leaves_a_reader_what_it_had(opened, counted, monkeypatch, worth_writing):
    monkeypatch.setattr(shelf, "MANY", 4)
    reader = opened(room=0)
    reader.get(texts(1, 2, 3))
    for number in NUMBERS:
        opened().get(texts(number))
    assert right(reader.get(texts(*NUMBERS)))
    assert set(counted.seen.values()) == {1}


def in_child(work):
    """The process id of a child that ends with 0 where `work` says yes: whatever it raises, it is no second pytest."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = 0 if work() else 1
        finally:
            os._exit(code)
    return child


def test_a_forked_child_writes_nothing_of_its_parents(opened, counted, tmp_path):
    one = opened()
    one.get(texts(*NUMBERS))

    def work():
        answers._flush_all()
        return one.get(texts(1))

    assert os.waitpid(in_child(work), 0)[1] == 0
    assert segments(tmp_path) == []
    answers._flush_all()
    assert len(segments(tmp_path)) == 1


def test_forked_children_read_one_file_at_once(opened, counted, worth_writing):
    """By position: a position of the file's own would be shared among them."""
    one = opened(room=0)
    one.get(texts(*NUMBERS))

    def work():
        return all(right(one.get(texts(*NUMBERS))) for _ in range(50)) and max(counted.seen.values()) == 1

    children = [in_child(work) for _ in range(3)]
    assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]


def test_a_limit_that_cannot_be_meant_is_said_at_once(opened, monkeypatch):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "plenty")
    with pytest.raises(UsageError, match="'plenty' is no size"):
        opened()
