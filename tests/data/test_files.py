"""Files written whole: what a kill, an error or a second writer leaves."""

import os
import signal

import pytest

from fewtune.data.files import written_whole


def begun_in_child(path):
    """A process that has begun to write `path` and waits: its id."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        with written_whole(path) as file:
            file.write(b"half")
            file.flush()
            os.write(writing, b".")
            signal.pause()
        os._exit(0)
    os.close(writing)
    assert os.read(reading, 1) == b"."
    os.close(reading)
    return child


def left_in(folder):
    return [path.name for path in folder.iterdir() if path.name.endswith(".tmp")]


def write(path, content):
    with written_whole(path) as file:
        file.write(content)


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path):
    path = tmp_path / ("long name " * 8 + "of a page.html")
    child = begun_in_child(path)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert len(left_in(tmp_path)) == 1
    write(tmp_path / "other.html", b"another file's")
    assert len(left_in(tmp_path)) == 1
    write(path, b"whole")
    assert left_in(tmp_path) == []
    assert path.read_bytes() == b"whole"


def test_what_another_writer_is_still_writing_stays(tmp_path):
    path = tmp_path / "page.html"
    child = begun_in_child(path)
    try:
        write(path, b"whole")
        assert len(left_in(tmp_path)) == 1
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    write(path, b"again")
    assert left_in(tmp_path) == []


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "page.html"
    write(path, b"old")
    path.chmod(0o640)
    with pytest.raises(TypeError), written_whole(path) as file:
        file.write("no bytes")
    assert path.read_bytes() == b"old"
    assert left_in(tmp_path) == []
    write(path, b"new")
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o640
