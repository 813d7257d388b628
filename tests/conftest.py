"""One machine for every test: float32, no GPU, no network, a cache of its own, tiny real backbones."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# Before anything asks: the answers are kept for the life of the process.
os.environ["FEWTUNE_PRECISION"] = "float32"
os.environ["FEWTUNE_DEVICE"] = "cpu"
os.environ["HF_HUB_OFFLINE"] = "1"
# As `make test` sets it: two threads add in another order than a forked run's one, and the tests compare to the bit.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")
for name in (
    "COLUMNS",
    "LINES",
    "NO_COLOR",
    "FORCE_COLOR",
    "TTY_COMPATIBLE",
    "FEWTUNE_CACHE_LIMIT",
    "FEWTUNE_CACHE_MEMORY",
):
    os.environ.pop(name, None)  # what is said does not hang on who asks from where

# As on one core, however many there are: runs are carried out one after another, but where a test asks for workers.
# Forking two for every plan of three toy runs took longer than the runs.
os.sched_getaffinity = lambda process: {0}

# A gate says the same of the same code, however slow the machine: no deadline, and examples that follow from the test.
# HYPOTHESIS_PROFILE=search looks for new ones.
SLOW = [HealthCheck.too_slow]
settings.register_profile("gate", deadline=None, derandomize=True, database=None, suppress_health_check=SLOW)
settings.register_profile("search", deadline=None, print_blob=True, suppress_health_check=SLOW)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    kept = os.environ.get("FEWTUNE_CACHE")
    os.environ["FEWTUNE_CACHE"] = str(tmp_path_factory.mktemp("cache"))
    yield
    os.environ.pop("FEWTUNE_CACHE")
    if kept is not None:
        os.environ["FEWTUNE_CACHE"] = kept


CACHES = itertools.count()


@pytest.fixture(autouse=True)
def _fresh_cache(tmp_path_factory, monkeypatch):
    """A test computes what it says that it computes: it finds nothing that another has cached."""
    monkeypatch.setenv("FEWTUNE_CACHE", str(tmp_path_factory.getbasetemp() / f"cache-of-test-{next(CACHES)}"))


@pytest.fixture(scope="session")
def tiny_folders(tmp_path_factory):
    """Folder of a tiny backbone of an architecture, made once: `tiny_folders("bert")`."""
    from fewtune.testing.tiny_backbones import make_tiny_backbone

    made: dict[tuple[str, str | None], Path] = {}

    def folder(architecture: str = "bert", pooling: str | None = None) -> Path:
        key = (architecture, pooling)
        if key not in made:
            place = tmp_path_factory.mktemp("backbones") / f"tiny-{architecture}-{pooling or 'plain'}"
            made[key] = make_tiny_backbone(place, architecture, pooling=pooling)
        return made[key]

    return folder


@pytest.fixture(scope="session")
def tiny_writer(tmp_path_factory):
    """An opened tiny Llama that knows the words of the toys, shared by tests that do not change it."""
    from fewtune.backbones.language.load import load_language_model
    from fewtune.testing.tiny_writers import make_tiny_writer

    folder = make_tiny_writer(tmp_path_factory.mktemp("writers") / "llama", tokenizer="word_pieces")
    return load_language_model(folder)


@pytest.fixture(scope="session")
def tiny_encoder(tiny_folders):
    """The opened tiny BERT, shared by tests that do not change it."""
    from fewtune.backbones.load import load_encoder

    return load_encoder(tiny_folders("bert"))
