"""Every format by name, in the order in which records are held against them. A new one is a file and a line here."""

from __future__ import annotations

from collections.abc import Sequence

from fewtune.data.formats.alpaca import Alpaca
from fewtune.data.formats.argilla import Argilla
from fewtune.data.formats.base import Format, Record
from fewtune.data.formats.chat import Chat
from fewtune.data.formats.completions import Completions
from fewtune.data.formats.label_studio import LabelStudio
from fewtune.data.formats.preferences import Preferences, PreferencesChat, PreferencesWhole, SingleAnswers
from fewtune.data.formats.prodigy import Prodigy
from fewtune.data.formats.sharegpt import ShareGPT
from fewtune.data.formats.spacy import Spacy

FORMATS: dict[str, Format] = {
    kind.name: kind()
    for kind in (
        LabelStudio,
        Argilla,
        Spacy,
        Prodigy,
        Preferences,
        PreferencesChat,
        PreferencesWhole,
        SingleAnswers,
        Chat,
        ShareGPT,
        Alpaca,
        Completions,
    )
}


def recognised(records: Sequence[Record], *, strict: bool) -> Format | None:
    """The format that knows every record; None where none does.

    Parameters
    ----------
    strict : leave out formats whose records are plain columns too, as when columns are named.
    """
    if not records:
        return None
    for kind in FORMATS.values():
        if (kind.strict or not strict) and kind.knows_all(records):
            return kind
    return None
