"""The cache holds no more than it may; what was used longest ago goes first."""

import json
import os
import shutil
import time
from collections import namedtuple

import pytest
from prefix_worlds import key, texts, value

from fewtune.backbones.prefix import answers, limits
from fewtune.errors import UsageError

GROUPS = [tuple(range(start, start + 10)) for start in range(1, 100, 10)]


def total(folder):
    return sum(file.bytes for file in limits.files(folder))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "prefix"


@pytest.fixture
def one_group(opened, counted, folder, worth_writing):
    """Bytes on disk of a group of texts."""
    opened(folder=folder / "measure").get(texts(*GROUPS[0]))
    size = total(folder)
    shutil.rmtree(folder)
    counted.seen.clear()
    return size


def test_it_never_grows_beyond_its_limit(opened, folder, monkeypatch, one_group):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", str(4 * one_group))
    for number, group in enumerate(GROUPS):
        opened(folder=folder / f"kind{number % 3}").get(texts(*group))
        assert total(folder) <= 4 * one_group
    assert total(folder) > 2 * one_group


def test_what_was_used_longest_ago_goes_first(opened, counted, folder, monkeypatch, one_group):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", str(4 * one_group))
    for age, group in enumerate(GROUPS[:3]):
        opened(folder=folder / f"kind{age}").get(texts(*group))
        for path in (folder / f"kind{age}").iterdir():
            os.utime(path, (time.time() - 1000 + age, time.time() - 1000 + age))
    opened(folder=folder / "kind0").get(texts(*GROUPS[0]))  # used again: now the youngest
    for age, group in enumerate(GROUPS[3:5], 3):
        opened(folder=folder / f"kind{age}").get(texts(*group))
    left = {path.parent.name for path in folder.rglob("*.safetensors")}
    assert "kind0" in left
    assert "kind1" not in left
    counted.seen.clear()
    opened(folder=folder / "kind0").get(texts(*GROUPS[0]))
    assert not counted.seen


def test_what_is_in_use_here_is_not_deleted_for_more_of_it(opened, counted, folder, monkeypatch, one_group):
    """Deleting what the next epoch reads would have every epoch compute everything."""
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", str(3 * one_group))
    monkeypatch.setattr(answers, "SEGMENT_BYTES", one_group // 2)
    one, everything = opened(room=0, folder=folder / "kind"), texts(*(n for group in GROUPS for n in group))
    for _ in range(3):
        assert len(one.get(everything)) == 100
    assert set(counted.seen.values()) == {1}
    assert total(folder) <= 3 * one_group
    counted.seen.clear()
    opened(folder=folder / "kind").get(everything)
    assert 0 < len(counted.seen) < 100, "what fitted is there for the next command"


def test_a_limit_of_nothing_writes_nothing(opened, counted, folder, monkeypatch, worth_writing):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "0")
    one = opened(room=0, folder=folder / "kind")
    for _ in range(2):
        one.get(texts(*GROUPS[0]))
    assert set(counted.seen.values()) == {1}
    assert not folder.exists()


def test_a_disk_nearly_full_is_left_alone(opened, folder, monkeypatch, worth_writing):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(limits, "LEAST_FREE", 1 << 30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1 << 40, 1 << 40, 1 << 29))
    opened(folder=folder / "kind").get(texts(*GROUPS[0]))
    assert total(folder) == 0


def test_halves_left_by_killed_processes_are_swept_up_and_young_ones_left(opened, folder, worth_writing):
    kind = folder / "kind"
    kind.mkdir(parents=True)
    old, young = kind / ".a.safetensors.01.tmp", kind / ".b.safetensors.02.tmp"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (time.time() - 2 * limits.ORPHANED,) * 2)
    opened(folder=kind).get(texts(*GROUPS[0]))
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("0", 0),
        ("512", 512),
        ("1k", 1024),
        ("500MB", 500 << 20),
        ("2 GB", 2 << 30),
        ("1.5GiB", 3 << 29),
        ("1t", 1 << 40),
    ],
)
def test_sizes(said, meant):
    assert limits.parse_size(said) == meant


@pytest.mark.parametrize("said", ["", "-1", "much", "1 XB", "1e9", "GB", "1..5G"])
def test_what_is_no_size(said):
    with pytest.raises(UsageError, match="500MB or 2GB"):
        limits.parse_size(said)


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 bytes"), (1023, "1023 bytes"), (1024, "1.0 KB"), (3 << 29, "1.5 GB"), (5 << 40, "5.0 TB")],
)
def test_sizes_shown(count, text):
    assert limits.shown(count) == text


def test_a_limit_is_kept_and_the_variable_overrules_it(monkeypatch):
    assert limits.disk_limit() == limits.DEFAULT_LIMIT
    limits.set_disk_limit(123)
    assert limits.disk_limit() == 123
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "1KB")
    assert limits.disk_limit() == 1024


@pytest.mark.parametrize("content", ["", "{", "[]", '{"limit": "1"}', '{"limit": -1}', '{"limit": true}', "\udcff"])
def test_a_damaged_setting_means_the_default(content):
    limits.set_disk_limit(5)
    limits._settings().write_bytes(content.encode("utf-8", "surrogateescape"))
    assert limits.disk_limit() == limits.DEFAULT_LIMIT


def test_a_lower_limit_holds_at_once(opened, monkeypatch, worth_writing):
    folder = limits.prefix_folder()
    for number, group in enumerate(GROUPS):
        opened(folder=folder / f"kind{number}").get(texts(*group))
    whole = total(folder)
    limits.set_disk_limit(whole // 2)
    assert 0 < total(folder) <= whole // 2


def test_clearing_deletes_everything_and_says_how_much(opened, worth_writing):
    folder = limits.prefix_folder()
    for number, group in enumerate(GROUPS[:3]):
        opened(folder=folder / f"kind{number}").get(texts(*group))
    whole = total(folder)
    assert limits.clear(folder) == (3, whole)
    assert list(folder.iterdir()) == []
    assert limits.clear(folder) == (0, 0)


def test_no_home_directory(monkeypatch):
    from pathlib import Path

    def lost():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("FEWTUNE_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", lost)
    assert limits.prefix_folder() is None
    assert limits.disk_limit() == limits.DEFAULT_LIMIT


def test_memory_is_a_share_of_what_there_is(monkeypatch):
    import torch

    cpu = torch.device("cpu")
    room = limits.shared_room(cpu)
    assert 0 < room.left <= limits.machine_memory() // limits.MEMORY_SHARE
    assert limits.shared_room(cpu) is room, "one for the whole process"
    monkeypatch.setenv("FEWTUNE_CACHE_MEMORY", "1MB")
    assert limits.shared_room(cpu).left == 1 << 20


def test_the_settings_file_is_plain_json():
    limits.set_disk_limit(7)
    assert json.loads(limits._settings().read_text()) == {"limit": 7}


def test_values_are_right_after_all_that(opened, folder, monkeypatch, one_group):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", str(2 * one_group))
    for group in GROUPS:
        found = opened(room=0, folder=folder / "kind").get(texts(*group))
        assert all((found[key(number)] == value(number)).all() for number in group)
