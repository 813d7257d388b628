"""Write constraints.txt: the versions, in this environment, of everything fewtune and its extras stand on.

python scripts/pin.py > constraints.txt
"""

from __future__ import annotations

import importlib.metadata as metadata
import re
import sys
from collections.abc import Iterator

EXTRAS = {"dev", "bench", "excel", "hub", "ray", "constrain"}
HEAD = """\
# What is tested, exactly. Installed with: pip install -c constraints.txt -e '.[dev]'
# Written by scripts/pin.py from the environment the tests passed in.
"""


def canonical(name: str) -> str:
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(name: str, extras: frozenset[str]) -> Iterator[tuple[str, frozenset[str]]]:
    """What an installed distribution asks for under these extras, on this machine."""
    from packaging.requirements import Requirement

    for line in metadata.requires(name) or ():
        wanted = Requirement(line)
        environments = [{"extra": extra} for extra in ("", *extras)]
        if wanted.marker is None or any(wanted.marker.evaluate(environment) for environment in environments):
            yield canonical(wanted.name), frozenset(wanted.extras)


def closure(name: str, extras: frozenset[str]) -> dict[str, str]:
    """Every distribution reached from `name`, with its version; what is not installed is left out."""
    versions: dict[str, str] = {}
    seen: set[tuple[str, frozenset[str]]] = set()
    waiting = [(canonical(name), extras)]
    while waiting:
        here = waiting.pop()
        if here in seen:
            continue
        seen.add(here)
        try:
            # A local part (`+cpu`) names a build, not a version: other builds of it are as good.
            versions[here[0]] = metadata.version(here[0]).partition("+")[0]
        except metadata.PackageNotFoundError:
            continue
        waiting += needed(*here)
    return versions


def main() -> int:
    """Print the file."""
    found = closure("fewtune", frozenset(EXTRAS))
    del found["fewtune"]
    sys.stdout.write(HEAD + "".join(f"{name}=={version}\n" for name, version in sorted(found.items())))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
