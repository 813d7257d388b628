"""`fewtune bench`: how fast this machine trains, and what it does best with many runs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fewtune.cli import options

if TYPE_CHECKING:
    from fewtune.tune.bench import Figures


def bench(
    backbone: options.Backbone = "default",
    quick: Annotated[bool, typer.Option("--quick", help="A third of the time, rougher.")] = False,
    kept: Annotated[
        bool, typer.Option("--keep/--no-keep", help="Have every later fit here carry out its runs in the fastest way.")
    ] = True,
    as_json: Annotated[bool, options.printed("the figures as JSON")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure this machine: tokens a second alone, side by side and stacked, cache gain, share of the matrix peak.

    Takes about a minute on two cores with the default backbone. Close other programs first.
    """
    from fewtune.backbones.load import load_encoder
    from fewtune.cli.screen import screen
    from fewtune.report.result import hardware, versions
    from fewtune.tune.bench import QUICK_SECONDS, SECONDS, measure, plans
    from fewtune.tune.executors.measured import choose, keep

    drawn = screen(quiet=quiet)
    with drawn:
        encoder = load_encoder(backbone)
        drawn.start(f"Measuring with {encoder.name}", total=len(plans(encoder)) + 2)
        begun: list[str] = []

        def told(words: str) -> None:
            if begun:
                drawn.advance()
            begun.append(words)
            drawn.bars.update(drawn.task, result=words)

        figures = measure(encoder, seconds=QUICK_SECONDS if quick else SECONDS, told=told)
        drawn.finish()
    stays = kept and keep(choose(figures.ways))
    machine = hardware()
    if as_json:
        more = {"kept": stays, "hardware": machine, "versions": versions()}
        typer.echo(json.dumps(figures.to_json() | more, ensure_ascii=False))
    else:
        _print(figures, machine)
        if stays:
            typer.echo("\nLater fits on this machine carry out their runs in the fastest way found here.")


def _print(figures: Figures, machine: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("way to train", no_wrap=True)
    for name in ("tokens/s", "steps/s", "× alone", "of peak"):
        table.add_column(name, justify="right")
    for way in figures.ways:
        times = way.tokens_per_second / figures.alone.tokens_per_second
        cells = (f"{way.tokens_per_second:,.0f}", f"{way.steps_per_second:,.1f}", f"{times:.2f}")
        style = "bold" if way == figures.best else ""
        table.add_row(way.title, *cells, f"{figures.share(way):.1%}", style=style)
    console = Console(highlight=False, soft_wrap=True)
    cores = f"{figures.cores} core{'s' if figures.cores > 1 else ''}"
    console.print(f"{machine['cpu']}, {cores}, {machine['memory_gib']} GiB, on {figures.device} in {figures.precision}")
    console.print(
        f"{figures.backbone}: LoRA on the top layers, batches of {figures.batch_size} texts of "
        f"{figures.tokens_a_text:g} tokens\n"
    )
    console.print(table)
    console.print(f"\nFastest here:      {figures.best.title}")
    stack = f"{figures.best_slots} runs" if figures.best_slots > 1 else "none: a run alone is as fast"
    console.print(f"Best stack:        {stack}")
    console.print(f"Cache gain:        a step would take {figures.cache_gain:.2f} times as long without cached layers")
    reading = f"{figures.forward_texts} texts at once, {cores}"
    console.print(f"Frozen backbone:   {figures.forward_tokens_per_second:,.0f} tokens a second, {reading}")
    console.print(f"Matrix peak:       {figures.peak_flops / 1e9:,.0f} GFLOP/s in {figures.precision}, {cores}")
    for note in figures.notes:
        console.print(f"  · {note}", markup=False)
