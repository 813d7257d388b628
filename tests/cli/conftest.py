"""The command line as a person calls it: the entry point itself, in this process."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import pytest
from csv_files import write_csv

from fewtune.testing.toys import toy_dataset


@dataclass
class Answer:
    code: int
    out: str
    err: str


@pytest.fixture
def fewtune(monkeypatch, capfd):
    """`fewtune("fit", "rows.csv")`: exit code, standard output, standard error."""
    from fewtune.cli.main import run

    def call(*args):
        capfd.readouterr()
        monkeypatch.setattr(sys, "argv", ["fewtune", *map(str, args)])
        try:
            run()
            code = 0
        except SystemExit as stop:
            code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
        out, err = capfd.readouterr()
        return Answer(code, out, err)

    return call


@pytest.fixture(scope="session")
def toys_csv(tmp_path_factory):
    toys = toy_dataset(8)
    return write_csv(tmp_path_factory.mktemp("data") / "toys.csv", zip(toys.texts, toys.labels, strict=True))


@pytest.fixture(scope="session")
def quick(tiny_folders):
    """Options that keep a fit to a second."""
    return [
        "--backbone",
        tiny_folders("bert"),
        "--method",
        "probe",
        "--folds",
        "3",
        "--repeats",
        "1",
        "--budget",
        "none",
    ]


@pytest.fixture(scope="session")
def result_folder(toys_csv, quick, tmp_path_factory):
    """A finished fit, for commands that read one."""
    import contextlib
    import io

    from fewtune.cli import main

    folder = tmp_path_factory.mktemp("fits") / "toys"
    kept, sys.argv = sys.argv, ["fewtune", "fit", str(toys_csv), *map(str, quick), "--out", str(folder), "--quiet"]
    try:
        sink = io.StringIO()
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink), contextlib.suppress(SystemExit):
            main.run()
    finally:
        sys.argv = kept
    assert (folder / "result.json").exists(), sink.getvalue()
    return folder
