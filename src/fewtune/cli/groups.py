"""Options that several commands take together: a dataclass each, which a command has for one parameter.

`spread` shows typer the fields in its place. The names are those of the options; what they mean is in `options.py`.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_type_hints

from fewtune.cli import options
from fewtune.cli.given import check_file, time_to_spend

if TYPE_CHECKING:
    from fewtune.backbones.decoding.settings import Decoding
    from fewtune.data.mixing import Replayed
    from fewtune.generating import Opened

STARTED = time.perf_counter()
"""Imports are part of the time a person waits, so that a budget is of all of it."""


@dataclass(frozen=True)
class Columns:
    """Which columns rows to learn from have."""

    text: options.Text = None
    label: options.Label = None
    group: options.Group = None
    pair: options.Pair = None


@dataclass(frozen=True)
class Beside:
    """What a model that writes should not forget, and what it learns again for that; how several files are mixed."""

    probe_prompts: options.ProbePrompts = None
    replay: options.Replay = None
    replay_share: options.ReplayShare = 0.05
    temperature: options.Temperature = 2.0

    def check(self) -> None:
        """Raises UnreadableFile where a file is not there."""
        from fewtune.data.general import COMES_WITH

        check_file(self.probe_prompts, option="--probe-prompts")
        for source in self.replay or ():
            if source != COMES_WITH:
                check_file(source, option="--replay")

    def read(self) -> tuple[Replayed, ...]:
        """What is learnt again."""
        from fewtune.data.general import read_replays

        return read_replays(self.replay or (), own=self.probe_prompts)


@dataclass(frozen=True)
class Judging:
    """How candidates are judged, how long, and who carries out the runs."""

    budget: options.Budget = "15m"
    folds: options.Folds = None
    repeats: options.Repeats = None
    splits: options.Splits = None
    seed: options.Seed = 0
    executor: options.Executor = "auto"
    ray_address: options.RayAddress = None

    def settings(self) -> dict[str, Any]:
        """These, by the names of `Settings`."""
        return {**vars(self), "budget": time_to_spend(self.budget), "started": STARTED}


@dataclass(frozen=True)
class Sampling:
    """How an answer is drawn, and how long it may be."""

    max_new_tokens: options.MaxNewTokens = None
    temperature: options.SamplingTemperature = 0.0
    top_p: options.TopP = 1.0
    top_k: options.TopK = 0
    repetition_penalty: options.Penalty = 1.0
    stop: options.Stop = None
    seed: options.Seed = 0

    def decoding(self, model: Opened | None = None) -> Decoding:
        """These as one value; a length that is not given is what the fit of `model` found long enough.

        Raises UsageError for what cannot be meant, also before there is a model.
        """
        from fewtune.backbones.decoding.settings import Decoding

        found = model.max_new_tokens if model is not None and self.max_new_tokens is None else self.max_new_tokens
        most = Decoding().max_new_tokens if found is None else found
        return Decoding(**{**vars(self), "max_new_tokens": most, "stop": tuple(self.stop or ())})


def spread(command: Callable[..., None]) -> Callable[..., None]:
    """`command` as typer is to see it: a parameter that is a dataclass stands for its fields.

    The default of such a parameter holds defaults of its fields; without one they are the dataclass's own.
    """
    groups: dict[str, type] = {}
    seen: list[inspect.Parameter] = []
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not dataclasses.is_dataclass(kind):
            seen.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(kind, type)
        groups[name] = kind
        defaults = kind() if parameter.default is parameter.empty else parameter.default
        for option, meant in get_type_hints(kind, include_extras=True).items():
            default = getattr(defaults, option)
            seen.append(inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=meant))

    @functools.wraps(command)
    def gathered(**given: Any) -> None:
        for name, kind in groups.items():
            given[name] = kind(**{field.name: given.pop(field.name) for field in dataclasses.fields(kind)})
        command(**given)

    gathered.__signature__ = inspect.Signature(seen)  # type: ignore[attr-defined]
    gathered.__annotations__ = {one.name: one.annotation for one in seen}
    return gathered
