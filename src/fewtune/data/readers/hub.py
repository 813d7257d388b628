"""Datasets of the Hugging Face Hub by name, through `datasets`; no dataset's own code is ever run."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from fewtune.data.readers.base import Table, table_of_columns
from fewtune.data.readers.parquet import named
from fewtune.errors import MissingExtra, StoreError, UnreadableFile

_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[^/\\]+){0,2}|[\w-][\w.-]+(:[^/\\]+){1,2}")


def is_hub_name(source: str) -> bool:
    """Whether `source` has the form `owner/name`, `owner/name:split`, `name:split` or `name:configuration:split`."""
    return _NAME.fullmatch(source) is not None


def read_hub(source: str) -> Table:
    """Download (or take from the cache) one split, `train` if none is named.

    Raises
    ------
    UnreadableFile
        No network, no such dataset, configuration or split.
    """
    datasets = _library(f"Reading {source!r} from the Hugging Face Hub")
    _refuse_without_network(source)
    name, *rest = source.split(":")
    split = rest[-1] if rest else "train"
    configuration = rest[0] if len(rest) > 1 else None
    try:
        loaded = datasets.load_dataset(name, configuration, split=split)
    except Exception as error:  # network, Hub, parser and lookup errors have no common root
        reason = " ".join(str(error).split())[:300] or type(error).__name__
        raise UnreadableFile(
            f"No file has this name, and it cannot be read from the Hub ({reason}).",
            file=source,
            remedy="Check the path or the name (owner/name:split) and the network, or give a downloaded file.",
        ) from error
    return table_of_dataset(loaded, source, notes=[f"Read from the Hub: {name}, split {split}."])


def _refuse_without_network(source: str) -> None:
    """Say so at once: the Hub's client would try again for half a minute."""
    if any(os.environ.get(name) for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "HTTPS_PROXY", "https_proxy")):
        return
    host = urlsplit(os.environ.get("HF_ENDPOINT") or "https://huggingface.co").hostname or ""
    try:
        socket.getaddrinfo(host, 443)
    except OSError as error:
        what = f"No file has this name, and the Hub cannot be reached (no address for {host})."
        remedy = "Check the path or the network; if the dataset is in the local cache, set HF_HUB_OFFLINE=1."
        raise UnreadableFile(what, file=source, remedy=remedy) from error


def table_of_dataset(dataset: Any, source: str, notes: list[str] | None = None) -> Table:
    """A table from a `datasets.Dataset`, its class codes named."""
    columns = {}
    for name in dataset.column_names:
        values = list(dataset[name])
        classes = getattr(dataset.features.get(name), "names", None)
        columns[str(name)] = named(values, classes) if classes else values
    return table_of_columns(columns, source, notes=notes or ())


SAVED = ("state.json", "dataset_info.json", "dataset_dict.json")
"""What stands in a folder that `save_to_disk` of the `datasets` library wrote."""


def is_saved(folder: Path) -> bool:
    """Whether a folder holds a dataset or several splits, as `datasets` saves them."""
    return (folder / "dataset_dict.json").is_file() or all((folder / name).is_file() for name in SAVED[:2])


def read_folder(folder: Path) -> Table:
    """Read a folder that `save_to_disk` wrote.

    Raises
    ------
    UnreadableFile : it is damaged, or holds several splits.
    """
    datasets = _library(f"Reading the folder {folder}")
    try:
        loaded = datasets.load_from_disk(str(folder))
    except Exception as error:  # damaged metadata, missing or torn Arrow files: no common root
        what = f"This saved dataset cannot be read ({' '.join(str(error).split())[:300] or type(error).__name__})."
        raise UnreadableFile(what, file=folder, remedy="Save it again, or give the table as Parquet.") from error
    if isinstance(loaded, datasets.DatasetDict):
        splits = list(loaded)
        remedy = f"Give one of them: {folder / splits[0]}." if splits else "Save it again."
        raise UnreadableFile(f"The folder holds several splits: {', '.join(splits)}.", file=folder, remedy=remedy)
    return table_of_dataset(loaded, str(folder), notes=["Format: a dataset saved by `datasets`."])


def write_folder(columns: Mapping[str, Sequence[object]], label: str, folder: Path) -> None:
    """Write a folder that `load_from_disk` of `datasets` opens, the label as class codes with their names.

    Raises
    ------
    StoreError : the folder holds other files, or cannot be written.
    """
    datasets = _library("Writing a dataset for the Hub")
    if folder.exists() and (not folder.is_dir() or (any(folder.iterdir()) and not is_saved(folder))):
        raise StoreError(f"{folder} holds other files, which saving a dataset there would delete. Name a new folder.")
    features = {name: datasets.Value("string") for name in columns}
    names = sorted({str(value) for value in columns.get(label, ()) if value is not None})
    if names:
        features[label] = datasets.ClassLabel(names=names)
    made = datasets.Dataset.from_dict(dict(columns), features=datasets.Features(features))
    temporary = folder.with_name(f".{folder.name}.{os.getpid()}.tmp")
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        with _quiet(datasets):
            made.save_to_disk(str(temporary))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StoreError(f"{folder} cannot be written ({error.strerror or error}). Name another folder.") from error


@contextlib.contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """No progress bars of the library's own."""
    drawn = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if drawn:
            datasets.enable_progress_bars()


def _library(purpose: str) -> Any:
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hub", purpose) from error
    return datasets
