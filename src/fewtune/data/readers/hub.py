"""Datasets of the Hugging Face Hub by name, through `datasets`; no dataset's own code is ever run."""

from __future__ import annotations

import os
import re
import socket
from typing import Any
from urllib.parse import urlsplit

from fewtune.data.readers.base import Table, table_of_columns
from fewtune.data.readers.parquet import named
from fewtune.errors import MissingExtra, UnreadableFile

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
    try:
        import datasets
    except ImportError as error:
        raise MissingExtra("datasets", "hub", f"Reading {source!r} from the Hugging Face Hub") from error
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
