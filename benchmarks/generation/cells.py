"""What the benchmarks of models that write share: rows, draws of them, results that survive a kill."""

from __future__ import annotations

import datetime
import json
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fewtune.backbones.language.model import LanguageModel
    from fewtune.data.base import Example
    from fewtune.methods.base import Material, Writer

HERE = Path(__file__).resolve().parent
DATA = HERE.parents[2] / "shared" / "data" / "generation"
RESULTS = HERE / "results"
SET = "rnnlg_restaurant"


def rows_of(folder: Path, part: str) -> list[dict[str, str]]:
    """Prompt and completion of each row."""
    lines = (folder / f"{part}.jsonl").read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines if line.strip()]


def examples_of(rows: Sequence[dict[str, str]]) -> list[Example]:
    """As fewtune has them."""
    from fewtune.data.base import Example

    return [Example(r["prompt"], row=n, id=str(n), completion=r["completion"]) for n, r in enumerate(rows, 1)]


def drawn(rows: Sequence[dict[str, str]], count: int, draw: int) -> list[dict[str, str]]:
    """`count` of the rows, without replacement; every draw has other ones, and they overlap by chance alone."""
    places = np.random.default_rng([draw, 200]).permutation(len(rows))[:count]
    return [rows[place] for place in places]


def skip_without(folder: Path) -> None:
    """End the program, with the reason, where the data are absent."""
    if not folder.exists():
        print(f"skipped: there is no {folder}. Give the folder of the generation sets as the argument.")
        raise SystemExit(0)


def material_of(rows: Sequence[dict[str, str]], model: LanguageModel, *, seed: int) -> Material:
    """What a run learns from, put to the model by its own chat template."""
    from fewtune.testing.writer_toys import material_of as material

    return material(model, examples_of(rows), seed)


def fitted_on(method: Any, material: Material) -> Writer:
    """A run, by the engine."""
    from fewtune.methods.base import TunedMethod, Writer
    from fewtune.tune.loop import train

    found = train(method, material) if isinstance(method, TunedMethod) else method.fit(material)
    assert isinstance(found, Writer)
    return found


def starter() -> Path:
    """The folder of the starter's weights."""
    from fewtune_starter import path

    return Path(path())


def fingerprint_of_starter() -> str:
    """Results of other weights are not taken for these."""
    from fewtune.backbones.load import fingerprint

    return fingerprint(starter())


def machine() -> dict[str, Any]:
    """Versions, hardware and threads."""
    import torch

    from fewtune.report.result import hardware, versions

    return {"versions": versions(), "hardware": hardware(), "threads": torch.get_num_threads()}


def now() -> dict[str, Any]:
    """When, and how busy the machine is."""
    return {
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "load_average": round(os.getloadavg()[0], 2),
    }


class Cells:
    """Finished cells of a benchmark by key, in one JSON file that is always whole; none is computed twice.

    Parameters
    ----------
    path : the file.
    about : settings that all cells share; cells of other settings are not taken for these.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path = path
        self.plain: dict[str, Any] = {**about, "cells": {}}
        if path.exists():
            found = json.loads(path.read_text(encoding="utf-8"))
            settings = {name: found.get(name) for name in about}
            if settings != json.loads(json.dumps(about)):
                changed = ", ".join(name for name in about if settings[name] != about[name])
                print(f"{path} holds results of other settings ({changed}). Move it away, or give another --out.")
                raise SystemExit(2)
            self.plain = found

    def __contains__(self, key: str) -> bool:
        return key in self.plain["cells"]

    def __getitem__(self, key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.plain["cells"][key]
        return found

    def keep(self, key: str, found: dict[str, Any]) -> None:
        """A cell is finished."""
        self.plain["cells"][key] = found
        self.write()

    def write(self, **more: Any) -> None:
        """Whole or not at all; `more` stands beside the cells."""
        self.plain |= more
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".tmp")
        part.write_text(json.dumps(self.plain, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        part.replace(self.path)


def peak_mib() -> float:
    """Largest memory of this process: Linux's own count, since `getrusage` begins with that of the process before."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 1024, 1)
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


class Judge:
    """Scores on held-out rows: each prompt asked once and held against all its completions.

    Parameters
    ----------
    rows : held-out rows, of which the first `prompts` different prompts are asked.
    known : training rows, from which slot errors learn how values are worded.
    """

    def __init__(self, rows: Sequence[dict[str, str]], known: Sequence[dict[str, str]], *, prompts: int) -> None:
        from fewtune.metrics.answers import by_prompt
        from fewtune.metrics.representation import parse
        from fewtune.metrics.slots import SlotCounter

        kept = set(list(dict.fromkeys(row["prompt"] for row in rows))[:prompts])
        self.rows = [row for row in rows if row["prompt"] in kept]
        self.examples = examples_of(self.rows)
        self.asked = by_prompt([row["prompt"] for row in self.rows], [row["completion"] for row in self.rows])
        slots = [parse(row["prompt"]) or () for row in known]
        self.counter = SlotCounter.of(slots, [[row["completion"]] for row in known])

    def losses(self, writer: Writer) -> dict[str, float]:
        """Of the completions: nats a token, bits a byte."""
        costs = writer.costs(self.examples)
        nats = float(costs.nll.sum())
        bits = nats / float(np.log(2)) / float(costs.bytes.sum())
        return {"loss": round(nats / float(costs.tokens.sum()), 5), "bits_per_byte": round(bits, 5)}

    def scores(self, writer: Writer, names: Sequence[str] = ("bleu", "chrf", "slot_error")) -> dict[str, Any]:
        """Losses, and scores of what is written, greedily, with their intervals."""
        from fewtune.metrics import Answers, score_all

        said = writer.write([self.examples[row] for row in self.asked.rows])
        answers = Answers.of(said, self.asked.references, prompts=self.asked.prompts)
        scored = score_all(answers, scores=list(names), counter=self.counter, draws=1000).to_json()
        shown = [{"prompt": p, "written": s} for p, s in list(zip(self.asked.prompts, said, strict=True))[:5]]
        return self.losses(writer) | {name: scored[name] for name in names} | {"shown": shown}


def forgotten(writer: Writer) -> dict[str, Any]:
    """Bits a byte of the general text that comes with fewtune, before and after."""
    from fewtune.data.general import GENERAL, general_text
    from fewtune.study.budget import Budget
    from fewtune.study.forgetting import forgetting

    found = forgetting(writer, writer.trainable_parameters > 0, [(GENERAL, general_text())], Budget(None))
    if not found["measured"]:
        return {}
    one = found["measured"][0]
    return {name: one[name] for name in ("before", "after", "difference", "verdict")}


def say(text: str) -> None:
    """Progress, to be read while it runs."""
    print(text, file=sys.stderr, flush=True)
