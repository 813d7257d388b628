"""Formats of annotation tools and of chats: one a file, each read and written."""

from fewtune.data.formats.base import Format, Seen
from fewtune.data.formats.registry import FORMATS, recognised

__all__ = ["FORMATS", "Format", "Seen", "recognised"]
