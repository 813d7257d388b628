"""`fewtune cache`: shown, cleared, limited; commands share what was computed."""

import json
import os
import time

import pytest
from csv_files import write_csv
from test_fit_command import clear

from fewtune.backbones.precision import cache_folder
from fewtune.backbones.prefix import answers, limits


@pytest.fixture(autouse=True)
def _written_at_once(monkeypatch):
    monkeypatch.setattr(answers, "WORTH_BYTES", 0)
    monkeypatch.setattr(limits, "LEAST_FREE", 0)


@pytest.fixture
def filled(tiny_folders):
    from fewtune.backbones.load import load_encoder

    encoder = load_encoder(tiny_folders("bert"))
    encoder.embed(["the dog", "red", "a saw"])
    encoder.hidden(["the dog", "red"], 1)
    return encoder


def test_nothing_is_kept_yet(fewtune):
    answer = fewtune("cache")
    assert answer.code == 0
    assert answer.out == f"0 bytes of at most 4.0 GB in {cache_folder() / 'prefix'}\n"


def test_what_is_kept_is_listed(fewtune, filled):
    lines = fewtune("cache").out.splitlines()
    assert len(lines) == 3
    said = " ".join(lines)
    for part in ("tiny-bert-plain", "pooled mean", "layer 1", "float32", "3 texts", "2 texts", "last used 20"):
        assert part in said
    listed = json.loads(fewtune("cache", "show", "--json").out)
    assert listed["bytes"] == sum(path.stat().st_size for path in (cache_folder() / "prefix").rglob("*.*"))
    assert {(kind["what"], kind["texts"]) for kind in listed["kept"]} == {("pooled mean", 3), ("layer 1", 2)}
    assert all(kind["backbone"] == filled.fingerprint for kind in listed["kept"])
    assert not any(text in json.dumps(listed) for text in ("the dog", "red", "a saw"))


def test_it_is_cleared(fewtune, filled):
    assert "2 files deleted" in fewtune("cache", "clear").out
    assert "0 bytes of" in fewtune("cache").out
    assert "0 files deleted" in fewtune("cache", "clear").out


def test_a_damaged_file_is_counted_and_no_traceback(fewtune, filled):
    for path in (cache_folder() / "prefix").rglob("*.safetensors"):
        path.write_bytes(b"x" * 100)
    answer = fewtune("cache")
    assert answer.code == 0, answer.err
    assert "200 bytes of" in answer.out
    assert fewtune("cache", "clear").code == 0


def test_its_size_is_limited_at_once_and_for_later(fewtune, filled):
    assert fewtune("cache", "limit").out == "At most 4.0 GB are kept.\n"
    old = min((cache_folder() / "prefix").rglob("*.safetensors"))
    os.utime(old, (time.time() - 999,) * 2)
    size = sum(path.stat().st_size for path in (cache_folder() / "prefix").rglob("*.safetensors"))
    assert fewtune("cache", "limit", size - 1).code == 0
    assert not old.exists()
    assert fewtune("cache", "limit", "1.5GB").out == "At most 1.5 GB are kept.\n"
    assert fewtune("cache").out.endswith(f"of at most 1.5 GB in {cache_folder() / 'prefix'}\n")


def test_the_environment_overrules_and_says_so(fewtune, monkeypatch):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "1MB")
    answer = fewtune("cache", "limit", "2GB")
    assert answer.out == "At most 1.0 MB are kept.\n"
    assert "FEWTUNE_CACHE_LIMIT is set" in answer.err


def test_what_cannot_be_meant(fewtune, monkeypatch, tmp_path):
    clear(fewtune("cache", "limit", "plenty"), 2, "no size")
    clear(fewtune("cache", "clear", "2GB"), 2, "fewtune cache limit 2GB")
    assert fewtune("cache", "burn").code == 2
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEWTUNE_CACHE", str(tmp_path / "file" / "inside"))
    clear(fewtune("cache", "limit", "2GB"), 1, "FEWTUNE_CACHE_LIMIT=2GB")
    assert fewtune("cache").code == 0


def test_a_variable_that_cannot_be_meant_is_said_by_every_command(fewtune, toys_csv, quick, monkeypatch, tmp_path):
    monkeypatch.setenv("FEWTUNE_CACHE_LIMIT", "plenty")
    clear(fewtune("fit", toys_csv, *quick, "--out", tmp_path / "fit"), 2, "no size")


def test_a_fit_works_where_nothing_can_be_kept(fewtune, toys_csv, quick, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FEWTUNE_CACHE", str(tmp_path / "file" / "inside"))
    assert fewtune("fit", toys_csv, *quick, "--out", tmp_path / "fit").code == 0


def test_a_later_command_computes_only_what_is_new(fewtune, toys_csv, quick, tmp_path, monkeypatch):
    from fewtune.backbones.passes import Frozen

    inner, seen = Frozen.pooled, []

    def counting(self, tokens):
        seen.append(len(tokens))
        return inner(self, tokens)

    monkeypatch.setattr(Frozen, "pooled", counting)
    first = fewtune("fit", toys_csv, *quick, "--out", tmp_path / "first")
    assert first.code == 0, first.err
    computed = sum(seen)
    assert computed >= 24
    seen.clear()
    second = fewtune("fit", toys_csv, *quick, "--out", tmp_path / "second")
    assert second.code == 0, second.err
    assert seen == []
    more = write_csv(tmp_path / "more.csv", [("the dog and a red saw",), ("my hen was white",)], header=("text",))
    assert fewtune("predict", tmp_path / "second", more).code == 0
    first_scores, second_scores = (
        {line["key"]: line["accuracy"] for line in map(json.loads, answer.out.splitlines())}
        for answer in (fewtune("runs", tmp_path / name, "--json") for name in ("first", "second"))
    )
    assert first_scores == second_scores
