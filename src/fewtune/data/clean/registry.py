"""Every cleaner, in the order they are asked: each is given what those before it have left."""

from __future__ import annotations

from fewtune.data.clean.base import Cleaner
from fewtune.data.clean.boilerplate import Boilerplate
from fewtune.data.clean.characters import Characters
from fewtune.data.clean.encoding import Encoding
from fewtune.data.clean.markup import Markup
from fewtune.data.clean.personal import PersonalData
from fewtune.data.clean.spaces import Spaces

CLEANERS: tuple[type[Cleaner], ...] = (Encoding, Markup, Characters, Spaces, Boilerplate, PersonalData)
NAMES = tuple(cleaner.name for cleaner in CLEANERS)
