"""Put `result.json` together where texts are written: the shape it has for classes, with what texts are scored by.

Legend: N rows, J splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.data.exchanges import check_rows, prompt_key
from fewtune.data.test_lock import record
from fewtune.methods.base import Written
from fewtune.metrics.answers import Answers
from fewtune.metrics.base import OutOfFold, row_means
from fewtune.metrics.generation import TextScores, score_all
from fewtune.metrics.intervals import design_effect
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.paired import compare
from fewtune.report.assemble import BETTER, comparison_entry, rung_entry, winner_entry
from fewtune.report.resampling import dealt, resampling
from fewtune.report.result import without_classes

if TYPE_CHECKING:
    from fewtune.data.base import Dataset, Example
    from fewtune.study.budget import Budget
    from fewtune.study.ladder import Climb
    from fewtune.study.rung import Rung
    from fewtune.study.settings import Settings
    from fewtune.tune.run import Context
    from fewtune.writer_folder import WritingModel

SAMPLES = 12
"""Prompts shown with what was written for them."""
UNSURE = "These rows cannot tell whether tuning bought anything. "
NO_TIME = "What tuning would buy is not known."
LADDER_DRAWS, HEADLINE_DRAWS = 300, 1000
PROMPTED = ("zero_shot", "few_shot")
"""What a tuned model is held against: the same model, asked without examples and with them."""


def build_written(climb: Climb, context: Context, settings: Settings, budget: Budget) -> dict[str, Any]:
    """The result of a fit of texts that are written; the test file comes later."""
    dataset = context.dataset
    result = without_classes(dataset, settings, budget) | {
        "resampling": _resampling(climb, context, given=settings.splits is not None),
        "winner": winner_entry(climb, oof_scores(climb.headline, dataset, draws=HEADLINE_DRAWS)),
        "ladder": _ladder(climb, context),
        "selection": _selection(climb),
        "samples": _samples(climb, dataset),
    }
    finish_written(result, climb, budget)
    return result


def finish_written(result: dict[str, Any], climb: Climb, budget: Budget) -> None:
    """Verdict and time, once everything else is in."""
    result["verdict"] = _verdict(climb, result)
    result["seconds"] = round(budget.spent, 2)


def read_written_test(result: dict[str, Any], model: WritingModel, train: Dataset, test: Dataset) -> dict[str, Any]:
    """Score the test file, the one time it is read; rows that stand in the training file too are left out."""
    result["test"] = score_test(model, train, test, command=result.get("command"))
    found: dict[str, Any] = result["test"]
    return found


def score_test(model: WritingModel, train: Dataset, test: Dataset, *, command: str | None) -> dict[str, Any]:
    """What a result says of a test file."""
    check_rows(test)
    reading = record(test, purpose="scored by a fit", command=command)
    known = {_whole(example) for example in train}
    clean = [row for row, example in enumerate(test) if _whole(example) not in known]
    leaked = [row for row in range(len(test)) if row not in set(clean)]
    block: dict[str, Any] = {
        "source": test.source,
        "read_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": len(test),
        "scored": len(clean),
        "leaks": [_leak(test.examples[row], train) for row in leaked],
        "reading": None if reading is None else reading.to_json(),
    }
    if clean:
        kept = test.subset(clean)
        written = model.costs(kept.examples)
        texts = tuple(model.write(kept.examples)) if test.task == "generation" else None
        whole = Written(written.nll, written.tokens, written.bytes, texts)
        block |= scores(whole, kept.examples, draws=HEADLINE_DRAWS).to_json()
        block["rows"] = len(test)
        if texts is not None:
            block["samples"] = [
                sample_of(example, {"winner": text})
                for example, text in list(zip(kept.examples, texts, strict=True))[:SAMPLES]
            ]
    else:
        block["no_score"] = "every row of it also stands in the training file"
    return block


def _whole(example: Example) -> tuple[str, str]:
    return prompt_key(example), " ".join((example.completion or "").casefold().split())


def _leak(example: Example, train: Dataset) -> dict[str, Any]:
    twin = next(one for one in train if _whole(one) == _whole(example))
    beside = {"train_row": twin.row, "train_id": twin.id, "train_text": twin.text}
    return {"row": example.row, "id": example.id, "kind": "normalised", "text": example.text, **beside}


def scores(
    written: Written,
    examples: Sequence[Example],
    *,
    groups: Sequence[Any] | None = None,
    draws: int = LADDER_DRAWS,
    stretch: float = 1.0,
) -> TextScores:
    """Every score of what was written for `examples`; of prompts that stand in several rows all completions count."""
    likelihoods = Likelihoods.of(written.nll, written.tokens, bytes_N=written.bytes)
    answers = None
    if written.texts is not None:
        rows, references = _once(examples)
        own = None if groups is None else [groups[row] for row in rows]
        prompts = [examples[row].prompt for row in rows]
        answers = Answers.of([written.texts[row] for row in rows], references, prompts=prompts, groups=own)
    together = list(groups) if groups is not None else [prompt_key(example) for example in examples]
    return score_all(answers, likelihoods=likelihoods, likelihood_groups=together, draws=draws, stretch=stretch)


def _once(examples: Sequence[Example]) -> tuple[list[int], list[list[str]]]:
    """The first row of each prompt, and all its completions."""
    first: dict[str, int] = {}
    said: dict[str, dict[str, None]] = {}
    for row, example in enumerate(examples):
        first.setdefault(prompt_key(example), row)
        said.setdefault(prompt_key(example), {})[example.completion or ""] = None
    return list(first.values()), [list(texts) for texts in said.values()]


def oof_scores(oof: OutOfFold, dataset: Dataset, *, draws: int = LADDER_DRAWS) -> dict[str, Any]:
    """Scores out of fold: costs of every row, averaged over repeats; texts of the rows that were written."""
    assert oof.written is not None
    rows = len(dataset)
    means = [
        row_means([np.asarray(getattr(one, name), dtype=np.float64) for one in oof.written], oof.held_out, rows)
        for name in ("nll", "tokens", "bytes")
    ]
    tested = oof.tested_N
    nll, tokens, size = (mean_N[tested] for mean_N in means)
    groups = None if oof.groups is None else [oof.groups[row] for row in tested]
    examples = [dataset.examples[row] for row in tested]
    costs = Written(nll, np.rint(tokens).astype(np.int64), np.rint(size).astype(np.int64))
    stretch = float(np.sqrt(design_effect(oof.held_out, rows)))  # its models share training rows
    found = scores(costs, examples, groups=groups, draws=draws, stretch=stretch)
    plain = _intervals(found)
    texts = oof_texts(oof)
    if texts:
        answered = sorted(texts)
        place = {int(row): number for number, row in enumerate(tested)}
        part = costs.subset([place[row] for row in answered])
        own = Written(part.nll, part.tokens, part.bytes, tuple(texts[row] for row in answered))
        grouped = None if oof.groups is None else [oof.groups[row] for row in answered]
        asked = [dataset.examples[row] for row in answered]
        plain |= _intervals(scores(own, asked, groups=grouped, draws=draws, stretch=stretch), text=True)
    return plain


def _intervals(found: TextScores, *, text: bool = False) -> dict[str, Any]:
    """Intervals by name; with `text`, those that texts have and costs have not."""
    plain = found.to_json()
    costs = ("loss", "perplexity", "bits_per_byte")
    return {name: plain[name] for name in found.intervals if (name not in costs) == text}


def oof_texts(oof: OutOfFold) -> dict[int, str]:
    """What was written for each row, where it was asked for."""
    found: dict[int, str] = {}
    for rows_B, written in zip(oof.held_out, oof.written or (), strict=True):
        found.update(zip(rows_B.tolist(), written.texts or (), strict=False))
    return found


def _resampling(climb: Climb, context: Context, *, given: bool) -> dict[str, Any]:
    found = resampling(climb, context)
    sentence = (
        f"Every rung was fitted {found['splits']} times, {dealt(found, given=given)}. Each score is of rows the model "
        "had not seen, and the rung was chosen anew without them."
    )
    return {**found, "sentence": sentence}


def _ladder(climb: Climb, context: Context) -> list[dict[str, Any]]:
    plain: list[dict[str, Any]] = []
    below: Rung | None = None
    for rung in climb.rungs:
        name = context.language_models[rung.recipe.backbone].name
        entry = rung_entry(rung, name, lambda judged: oof_scores(judged.oof, context.dataset))
        if rung.judged is not None:
            if below is not None and below.judged is not None:
                entry["against_below"] = against(rung.judged.oof, below.judged.oof, below.recipe.method.name)
                entry["against_below"]["other_title"] = below.recipe.title
            entry |= _against_prompts(climb, rung.judged.oof, own=rung)
            below = rung
        plain.append(entry)
    return plain


def against(mine: OutOfFold, other: OutOfFold, name: str, *, level: float | None = None) -> dict[str, Any]:
    """The paired comparison in bits per byte: by how much fewer of them `mine` needs; at a level other than 95 %, if
    one is given.
    """
    asked: dict[str, Any] = {} if level is None else {"level": level}
    rows = len(mine.labels_N)
    found = compare(mine.row_scores, other.row_scores, mine.held_out, rows=rows, groups=mine.groups, **asked)
    return {**comparison_entry(found, name, metric="bits_per_byte"), **asked}


def _against_prompts(climb: Climb, oof: OutOfFold, own: Rung | None = None) -> dict[str, Any]:
    found = {}
    for name in PROMPTED:
        rung = next((one for one in climb.rungs if one.recipe.method.name == name and one.judged is not None), None)
        if rung is not None and rung is not own and rung.judged is not None:
            found[f"against_{name}"] = against(oof, rung.judged.oof, name)
    return found


def _selection(climb: Climb) -> dict[str, Any]:
    title = climb.rungs[climb.winner].recipe.title
    rule = (
        "of each method the number of epochs with the least cross-validated loss, or the one that wrote best where "
        "that is ahead by more than one standard error and keeps half of the bits saved over the best prompt, and of "
        "the methods the simplest within one standard error of the best, by how close what each wrote for the same "
        "held-out prompts comes to the given completions (chrF); "
        "a prompt only where it costs fewer bits per byte than all that were tuned"
    )
    if climb.rungs[climb.winner].closeness is None:
        rule = (
            "of each method the number of epochs with the least cross-validated loss, and of the methods the simplest "
            "within one standard error of the best, by bits per byte on the same held-out rows"
        )
    found: dict[str, Any] = {"rule": rule, "sentence": f"{title} was chosen: {rule}.", "beliefs": []}
    aside = cheaper_but_worse(climb)
    return found | ({"aside": aside} if aside else {})


def cheaper_but_worse(climb: Climb) -> str:
    """Why the candidate of least loss was not chosen, where its texts are why; else nothing."""
    chosen = climb.rungs[climb.winner]
    cheapest = max(climb.rungs, key=lambda rung: -np.inf if rung.score is None else rung.score)
    if cheapest is chosen or not (chosen.closeness and cheapest.closeness and chosen.closeness > cheapest.closeness):
        return ""
    bits = f"{-(cheapest.score or 0):.3f} bits per byte where {chosen.recipe.title} costs {-(chosen.score or 0):.3f}"
    return (
        f"{cheapest.recipe.title} costs {bits}, but what it wrote for held-out prompts comes less close to the given "
        f"completions: chrF {cheapest.closeness:.1f} against {chosen.closeness:.1f}. A model too sure of itself costs "
        "more bits, and not a word of what it writes is changed by that."
    )


def _samples(climb: Climb, dataset: Dataset) -> list[dict[str, Any]]:
    """Held-out prompts, evenly spread, with the given completion and what each way wrote for them."""
    written = {}
    for name in PROMPTED:
        judged = next((r.judged for r in climb.rungs if r.recipe.method.name == name and r.judged is not None), None)
        written[name] = {} if judged is None else oof_texts(judged.oof)
    if climb.rungs[climb.winner].recipe.method.name not in PROMPTED:
        written["winner"] = oof_texts(climb.winning.oof)
    rows = sorted(
        set.intersection(*(set(texts) for texts in written.values() if texts)) if any(written.values()) else ()
    )
    shown = rows[:: max(1, len(rows) // SAMPLES)][:SAMPLES]
    return [
        sample_of(dataset.examples[row], {name: texts[row] for name, texts in written.items() if row in texts})
        for row in shown
    ]


def sample_of(example: Example, answers: Mapping[str, str]) -> dict[str, Any]:
    """One prompt with what was given and what each way wrote; of a conversation, all that was said before as well."""
    said = {"messages": [asdict(turn) for turn in example.messages[:-1]]} if example.messages else {}
    return {
        "row": example.row,
        "id": example.id,
        "prompt": example.prompt,
        **said,
        "completion": example.completion,
        "answers": dict(answers),
    }


def _verdict(climb: Climb, result: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _against_prompts(climb, climb.headline, own=climb.rungs[climb.winner])
    return {**found, "sentence": _sentence(result, found), "advice": _advice(result, found)}


def _sentence(result: dict[str, Any], found: dict[str, Any]) -> str:
    winning = result["winner"]
    bits = winning["cv"]["bits_per_byte"]
    told = f"{bits['mean']:.3f} bits per byte ({bits['low']:.3f} to {bits['high']:.3f})"
    if winning["name"] in PROMPTED and not _tuned(result):
        return f"No tuned model was judged: {winning['title'].lower()} needs {told} for new rows. {NO_TIME}"
    if winning["name"] in PROMPTED:
        return (
            f"Tuning bought nothing that these rows can show: {winning['title'].lower()} needs {told} for new rows, "
            "and no tuned model clearly fewer."
        )
    parts = []
    for name in PROMPTED:
        one = found.get(f"against_{name}")
        if one is None:
            continue
        prompted = name.replace("_", "-") + " prompting"
        if one["verdict"] == BETTER:
            parts.append(f"{one['difference']:.3f} fewer than {prompted}")
        else:
            parts.append(f"against {prompted}: {one['verdict']}")
    unsure = "" if any(found[key]["verdict"] == BETTER for key in found) else UNSURE
    return f"{unsure}{winning['title']}: {told} for rows like these, {'; '.join(parts)}.{_text_clause(result)}"


def _tuned(result: dict[str, Any]) -> bool:
    """Whether any tuned model was judged."""
    return any(rung["status"] == "judged" and rung["name"] not in PROMPTED for rung in result["ladder"])


def _text_clause(result: dict[str, Any]) -> str:
    """BLEU beside it, which more people know."""
    rungs = {rung["name"]: rung for rung in result["ladder"] if rung["status"] == "judged"}
    mine = result["winner"]["cv"].get("bleu")
    theirs = [(name, rungs[name]["cv"].get("bleu")) for name in PROMPTED if name in rungs]
    known = [(name.replace("_", "-"), one["mean"]) for name, one in theirs if one and one["mean"] is not None]
    if not mine or mine["mean"] is None or not known:
        return ""
    beside = ", ".join(f"{name} {mean:.1f}" for name, mean in known)
    return f" BLEU {mine['mean']:.1f} where prompting has: {beside}."


def _advice(result: dict[str, Any], found: dict[str, Any]) -> list[dict[str, str]]:
    steps = []
    unclear = [one for one in found.values() if one["verdict"] != BETTER and one.get("rows_needed")]
    if not _tuned(result):
        steps.append({"do": "Give more time with --budget, or fewer --folds.", "why": NO_TIME})
    elif result["winner"]["name"] in PROMPTED:
        steps.append(
            {
                "do": "Ask the model with examples, or give more rows before tuning it again.",
                "why": "A tuned model that is no better costs a file to keep and forgets things.",
            }
        )
    elif unclear:
        most = max(one["rows_needed"] for one in unclear)
        steps.append(
            {"do": f"Collect rows: about {most:,} in all would tell.", "why": "The difference is not sure yet."}
        )
    overfit = result["ladder"][result["winner"]["rung"]].get("overfit") or {}
    if overfit.get("opens_at_step"):
        steps.append({"do": "Keep the epochs that were chosen.", "why": overfit["sentence"]})
    if result["test"] is None and not any(one.get("test") for one in result.get("tasks", ())):
        steps.append(
            {
                "do": "Set rows aside and give them with --test.",
                "why": "A file nobody has looked at is the only proof to others.",
            }
        )
    steps.append(
        {
            "do": "Read the sample answers below.",
            "why": "No score says whether an answer is right, or would embarrass you.",
        }
    )
    return steps
