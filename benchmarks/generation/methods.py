"""Every method that writes, on 200 rows of rnnlg_restaurant: what it learns, costs, reaches and forgets.

Rates are chosen on other rows than those reported: on a draw of its own each method is trained at its default rate and
at rates √10 apart to either side for as long as that lowers the loss on validation rows. Then, on the reported draw, it
is trained once at the chosen rate, in a process of its own, and scored on test rows. All train for the same number of
epochs. Methods that cannot run on this model or machine stand in the table with what they say.

    python benchmarks/generation/methods.py [DATA] [--rows 200] [--epochs 6] [--methods ...] [--out FILE]
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cells import (
    DATA,
    RESULTS,
    SET,
    Cells,
    Judge,
    drawn,
    fingerprint_of_starter,
    fitted_on,
    forgotten,
    machine,
    material_of,
    now,
    peak_mib,
    rows_of,
    say,
    skip_without,
)

from fewtune.errors import BackboneError, MissingExtra, TrainingDiverged
from fewtune.methods.base import TunedMethod
from fewtune.methods.registry import WRITING_NAMES, method_class

CHOOSING_DRAW, REPORTED_DRAW = 100, 0
STEP = 10**0.5
MOST_STEPS = 3
"""From the default rate, to either side."""
MARK = "RESULT "


def method_of(name: str, options: argparse.Namespace, rate: float | None = None) -> Any:
    """The method with its defaults, but for the length, which is the same for all; no row is spared."""
    found = method_class(name, "generation")()
    if isinstance(found, TunedMethod):
        found = replace(found, epochs=options.epochs, spare=0.0)  # type: ignore[call-arg]
        return found if rate is None else replace(found, rate=rate)
    return found


def rate_of(name: str, cells: Cells, options: argparse.Namespace) -> float | str:
    """The best rate on rows that are not reported, or why there is none."""
    default = float(method_of(name, options).rate)
    losses = {default: loss_at(name, default, cells, options)}
    if isinstance(losses[default], str):
        return str(losses[default])
    for factor in (STEP, 1 / STEP):
        rate = default
        for _ in range(MOST_STEPS):
            before, rate = rate, float(f"{rate * factor:.2g}")
            losses[rate] = loss_at(name, rate, cells, options)
            if isinstance(losses[rate], str) or losses[rate] >= losses[before]:  # type: ignore[operator]
                break
        if min(losses, key=lambda rate: _number(losses[rate])) != default:
            break  # what was better to one side is not looked for on the other
    return min(losses, key=lambda rate: _number(losses[rate]))


def _number(loss: float | str) -> float:
    return float("inf") if isinstance(loss, str) else loss


def loss_at(name: str, rate: float, cells: Cells, options: argparse.Namespace) -> float | str:
    """Validation loss on the choosing draw, or the error's words."""
    key = f"rate {name} {rate:.2g}"
    if key not in cells:
        folder = options.data / SET
        rows = drawn(rows_of(folder, "train"), options.rows, CHOOSING_DRAW)
        judge = Judge(rows_of(folder, "valid"), rows, prompts=options.prompts)
        begun, started, cpu = now(), time.perf_counter(), time.process_time()
        try:
            writer = fitted_on(method_of(name, options, rate), material_of(rows, opened(), seed=CHOOSING_DRAW))
            found: dict[str, Any] = judge.losses(writer)
        except (BackboneError, MissingExtra, TrainingDiverged) as error:
            found = {"refused": str(error)}
        spent = {"seconds": time.perf_counter() - started, "processor_seconds": time.process_time() - cpu}
        cells.keep(key, begun | {"rate": rate} | found | {part: round(value, 2) for part, value in spent.items()})
        say(f"{key}: {found}")
    cell = cells[key]
    return str(cell["refused"]) if "refused" in cell else float(cell["loss"])


def opened() -> Any:
    """The starter, as a fit opens it."""
    from fewtune.backbones.language.load import load_language_model

    return load_language_model(precision="float32")


def report(name: str, rate: float | None, options: argparse.Namespace) -> dict[str, Any]:
    """One method on the reported draw, in this process."""
    folder = options.data / SET
    rows = drawn(rows_of(folder, "train"), options.rows, REPORTED_DRAW)
    judge = Judge(rows_of(folder, "test"), rows_of(folder, "train"), prompts=options.prompts)
    material = material_of(rows, opened(), seed=REPORTED_DRAW)
    before, started, cpu = peak_mib(), time.perf_counter(), time.process_time()
    writer = fitted_on(method_of(name, options, rate), material)
    spent = {"fit": time.perf_counter() - started, "fit_processor": time.process_time() - cpu}
    memory = {"peak_memory_mib": peak_mib(), "memory_before_mib": before}
    started, cpu = time.perf_counter(), time.process_time()
    scores = judge.scores(writer)
    spent |= {"score": time.perf_counter() - started, "score_processor": time.process_time() - cpu}
    return {
        "title": method_class(name, "generation").title,
        "trainable_parameters": writer.trainable_parameters,
        "rate": rate,
        "seconds": {part: round(value, 2) for part, value in spent.items()},
        **memory,
        **scores,
        "forgetting": forgotten(writer),
    }


def in_a_process(name: str, rate: float | None, options: argparse.Namespace) -> dict[str, Any]:
    """`report` in a fresh process, whose memory is the method's own."""
    command = [
        sys.executable,
        __file__,
        str(options.data),
        "--run",
        name,
        *([] if rate is None else ["--rate", f"{rate}"]),
    ]
    for setting in ("rows", "epochs", "prompts"):
        command += [f"--{setting}", str(getattr(options, setting))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout[done.stdout.index(MARK) + len(MARK) :])
    return found


def table(cells: Cells) -> str:
    """Markdown; in it, who did not beat the untuned model."""
    lines = [
        "| method | trainable | rate | fit, s | memory, MiB | loss | BLEU | slot errors | forgotten, bits/byte "
        "| beats untuned |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---|",
    ]
    untuned = cells["report zero_shot"]["loss"] if "report zero_shot" in cells else float("inf")
    for name in WRITING_NAMES:
        if f"report {name}" not in cells:
            continue
        cell = cells[f"report {name}"]
        if "refused" in cell:
            lines.append(f"| {name} | | | | | | | | | {cell['refused']} |")
            continue
        lost = cell["forgetting"].get("difference")
        lines.append(
            f"| {cell['title']} | {cell['trainable_parameters']:,} | {cell['rate'] or ''} "
            f"| {cell['seconds']['fit']:.1f} | {cell['peak_memory_mib']:.0f} "
            f"| {cell['loss']:.3f} | {cell['bleu']['mean']:.1f} "
            f"| {cell['slot_error']['mean']:.3f} | {'' if lost is None else format(lost['mean'], '+.3f')} "
            f"| {'' if name == 'zero_shot' else 'yes' if cell['loss'] < untuned else 'no'} |"
        )
    return "\n".join(lines) + "\n"


def main() -> int:
    """Compute what is not there yet, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--epochs", type=float, default=6.0)
    parser.add_argument("--prompts", type=int, default=100, help="different prompts of the validation and test parts")
    parser.add_argument("--methods", nargs="+", choices=WRITING_NAMES, default=list(WRITING_NAMES))
    parser.add_argument("--out", type=Path, default=RESULTS / "methods.json")
    parser.add_argument("--rates-only", action="store_true", help="choose the rates, report nothing yet")
    parser.add_argument("--run", choices=WRITING_NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--rate", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    skip_without(options.data / SET)
    if options.run:
        print(MARK + json.dumps(report(options.run, options.rate, options)))
        return 0
    about = {"set": SET, "choosing_draw": CHOOSING_DRAW, "reported_draw": REPORTED_DRAW}
    about |= {name: getattr(options, name) for name in ("rows", "epochs", "prompts")}
    cells = Cells(options.out, about | {"starter": fingerprint_of_starter()})
    for name in options.methods:
        if f"report {name}" in cells:
            continue
        tuned = issubclass(method_class(name, "generation"), TunedMethod)
        rate = rate_of(name, cells, options) if tuned else None
        if options.rates_only:
            continue
        if isinstance(rate, str):
            cells.keep(f"report {name}", now() | {"refused": rate})
            continue
        default = {"default_rate": float(method_of(name, options).rate)} if tuned else {}
        cells.keep(f"report {name}", now() | in_a_process(name, rate, options) | default)
        found = cells[f"report {name}"]
        say(f"{name} at {rate}: loss {found['loss']}, BLEU {found['bleu']['mean']:.1f}")
    if options.rates_only:
        return 0
    cells.write(
        machine=machine(), refused=sorted(name for name in options.methods if "refused" in cells[f"report {name}"])
    )
    options.out.with_suffix(".md").write_text(table(cells), encoding="utf-8")
    print(table(cells))
    return 0


if __name__ == "__main__":
    sys.exit(main())
