"""Arguments and options that several commands share: one meaning, one help text.

What means something else in one command stands there: `--test` of a split is a share of the rows, not a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

Rows = Annotated[str, typer.Argument(help="CSV, TSV, JSON, JSON lines, Parquet, Excel, or a Hub dataset name.")]

# Which columns.
Text = Annotated[str | None, typer.Option(help="Text column; found by itself when not named.")]
Label = Annotated[str | None, typer.Option(help="Label column; found by itself when not named.")]
MaybeLabel = Annotated[
    str | None, typer.Option(help='Label column; found by itself when not named; "" where there is none.')
]
Group = Annotated[str | None, typer.Option(help="Column of what may never be split across folds.")]
Pair = Annotated[
    list[str] | None, typer.Option(help="Column to join to the text, such as a body to a subject; may be repeated.")
]

# What is learnt, and with what.
Task = Annotated[
    str | None, typer.Option(help="classification, generation or language_modelling; told by the columns if not given.")
]
Unlabelled = Annotated[str | None, typer.Option(help="File of texts without labels, to learn from.")]
Backbone = Annotated[str, typer.Option(help="Encoder folder or Hub name.")]
Template = Annotated[
    str | None, typer.Option(help="JSON file of a template, or a layout: plain, instruction, alpaca, chatml, chat.")
]
Changes = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of a method, such as lora.rank=64; may be repeated.")
]
Words = Annotated[
    list[str] | None,
    typer.Option(
        "--words",
        "--verbaliser",
        help="What classes are called: a JSON or CSV file of class and words, or CLASS=WORDS; may be repeated.",
    ),
]

ProbePrompts = Annotated[
    str | None,
    typer.Option(help="Prompts or texts that a model that writes should not forget; scored before and after."),
]
Replay = Annotated[
    list[str] | None,
    typer.Option(
        help="What a model that writes learns again so as not to forget it: general, which comes with fewtune, or a "
        "file; may be repeated."
    ),
]
ReplayShare = Annotated[float, typer.Option(help="Share of the rows learnt that are replayed.")]
Temperature = Annotated[
    float, typer.Option(help="Of several files: 1 draws each by its rows, more draws small ones oftener.")
]

# How it is judged.
Budget = Annotated[str, typer.Option(help="Time to spend: 90s, 15m, 1h30m, or none.")]
Splits = Annotated[Path | None, typer.Option(help="Judge on exactly the splits that `fewtune split` wrote.")]
Folds = Annotated[int | None, typer.Option(help="Cross-validation folds; 5 when not given.")]
Repeats = Annotated[int | None, typer.Option(help="Times the folds are dealt anew.")]
Seed = Annotated[int, typer.Option(help="The only source of randomness.")]
Executor = Annotated[str, typer.Option(help="Who carries out the runs: auto, serial, forked, stacked or ray.")]
RayAddress = Annotated[str | None, typer.Option(help="HOST:PORT of a Ray cluster this machine belongs to, or auto.")]

# What is written.
Writer = Annotated[str, typer.Argument(help="What `fewtune fit --out` wrote, a model folder, or a Hub name.")]
MaxNewTokens = Annotated[
    int | None, typer.Option(help="Most tokens of an answer; what the fit found long enough, or 256, when not given.")
]
SamplingTemperature = Annotated[float, typer.Option(help="0 takes the likeliest token; up to 1, and beyond, draws.")]
TopP = Annotated[float, typer.Option(help="Draw among the likeliest tokens that together have this probability.")]
TopK = Annotated[int, typer.Option(help="Draw among this many of the likeliest tokens; 0 for all.")]
Penalty = Annotated[float, typer.Option(help="Above 1, what was said becomes less likely to be said again.")]
Stop = Annotated[list[str] | None, typer.Option(help="End the answer where this would begin; may be repeated.")]
System = Annotated[str | None, typer.Option(help="What the model is asked to be, or to do with every prompt.")]

# What is shown.
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress bars.")]


def folder(holds: str, *, unless: str) -> Any:
    """`--out` of a command: what the folder holds, and which it is when none is given."""
    return typer.Option(help=f"{holds}; {unless} when not given.")


def printed(what: str) -> Any:
    """`--json` of a command: what it prints."""
    return typer.Option("--json", help=f"Print {what} on standard output.")
