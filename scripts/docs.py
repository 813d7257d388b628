"""Write the generated parts of README.md and docs/ again: help texts, defaults, error messages, the result format.

A generated part stands between `<!-- generated: NAME -->` and `<!-- end -->`. `tests/docs` fails where one is stale.

python scripts/docs.py                      every part but the demo's output
python scripts/docs.py --demo demo/tickets  the demo's output too, drawn from its result.json
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "scripts"))

import doc_errors  # noqa: E402

PART = re.compile(r"(<!-- generated: (?P<name>[\w -]+) -->\n).*?(\n?<!-- end -->)", re.DOTALL)
DEMO = "demo"
WIDTH = 80
PLAIN = {
    "alpha": "Updates are scaled by alpha / rank.",
    "batch_size": "Rows a step.",
    "default_strength": "Taken when rows are too few to choose.",
    "label_smoothing": "Share of each label spread over the other classes.",
    "layers": "How many of the highest layers move.",
    "least_steps": "Fewest steps.",
    "lora_dropout": "Dropout on the adapters' input.",
    "most_steps": "Most steps.",
    "rank": "Rank of the updates.",
    "rate": "Peak learning rate of the body.",
    "rounds": "Times the unlabelled texts are labelled anew.",
    "strengths": "Candidates for the head's inverse regularisation `C`.",
    "weight_decay": "AdamW's.",
}
"""What settings mean that have no string under them in the source."""


def pages() -> list[Path]:
    """Every page that may hold generated parts."""
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def refreshed(text: str, parts: dict[str, Callable[[], str]]) -> str:
    """`text` with each generated part written again; raises KeyError for a part nobody writes."""

    def write(found: re.Match[str]) -> str:
        if found["name"] == DEMO and DEMO not in parts:
            return found[0]
        return f"{found[1]}{parts[found['name']]().rstrip()}\n<!-- end -->"

    return PART.sub(write, text)


def commands() -> list[str]:
    """The names of the commands, in the order of `fewtune --help`."""
    from fewtune.cli.main import app

    found = [str(command.name) for command in app.registered_commands]
    for group in app.registered_groups:
        inside = group.typer_instance
        assert inside is not None
        found += [f"{inside.info.name} {command.name}" for command in inside.registered_commands]
    return found


def parts() -> dict[str, Callable[[], str]]:
    """Who writes which part."""
    from fewtune.methods.base import TunedMethod
    from fewtune.methods.cross_entropy import CrossEntropyMethod
    from fewtune.methods.generation.peft_method import LearnedPrompt
    from fewtune.methods.generation.tuned import NextTokenMethod
    from fewtune.methods.preference.tuned import PreferenceMethod
    from fewtune.methods.registry import NAMES, PREFERENCE_NAMES, WRITING_NAMES, method_class

    found: dict[str, Callable[[], str]] = {"help": lambda: help_text([])}
    found |= {f"help {name}": partial(help_text, name.split()) for name in commands()}
    shared = {"tuned": TunedMethod, "cross-entropy": CrossEntropyMethod}
    for name, cls in {**shared, **{name: method_class(name) for name in NAMES}}.items():
        found[f"defaults {name}"] = partial(defaults, cls)
    found["defaults next-token"] = partial(defaults, NextTokenMethod)
    found["defaults learned-prompt"] = partial(defaults, LearnedPrompt)
    for name in WRITING_NAMES:
        found[f"defaults writing {name}"] = partial(defaults, method_class(name, "generation"))
    found["defaults preference"] = partial(defaults, PreferenceMethod)
    for name in PREFERENCE_NAMES:
        found[f"defaults preference {name}"] = partial(defaults, method_class(name, "preference"))
    found["priors"] = priors
    found["columns"] = column_names
    found["result"] = result_format
    found["audit"] = audit_format
    found["checks"] = checks
    found["text scores"] = text_scores
    found["errors"] = error_tree
    found["bad files"] = lambda: doc_errors.table_of_errors(doc_errors.FILES)
    found["bad columns"] = lambda: doc_errors.table_of_errors(doc_errors.COLUMNS)
    found["bad tasks"] = lambda: doc_errors.table_of_errors(doc_errors.TASK)
    found["notes"] = lambda: doc_errors.table_of_notes(doc_errors.NOTES)
    return found


def help_text(arguments: list[str]) -> str:
    """What `fewtune … --help` prints on a terminal 80 columns wide."""
    from typer.testing import CliRunner

    from fewtune.cli.main import app

    shown = CliRunner().invoke(app, [*arguments, "--help"], prog_name="fewtune", env={"COLUMNS": str(WIDTH)})
    assert shown.exit_code == 0, shown.output
    return f"```text\n{shown.output.strip()}\n```"


def defaults(cls: Any) -> str:
    """The settings a class of methods adds or changes, their defaults, and what stands under each in the source."""
    from fewtune.methods.generation.low_rank import LowRankMethod
    from fewtune.methods.generation.retrieval import ShownExamples

    meanings = PLAIN | {key: value for base in reversed(cls.__mro__) for key, value in meanings_of(base).items()}
    # A base that has no table of its own is told with each class made from it.
    told = [cls, *(base for base in cls.__bases__ if base in (LowRankMethod, ShownExamples))]
    named = {name for one in told for name in inspect.get_annotations(one)}
    own = [field for field in dataclasses.fields(cls) if field.name in named]
    rows = [f"| `{f.name}` | {shown(f.default)} | {doc_errors.cell(meanings.get(f.name, ''))} |" for f in own]
    if not rows:
        return "No settings of its own."
    return "\n".join(["| Setting | Default | Meaning |", "| --- | --- | --- |", *rows])


def shown(value: Any) -> str:
    """A default as a person writes it."""
    if isinstance(value, tuple):
        return ", ".join(f'"{item}"' if isinstance(item, str) else f"{item:g}" for item in value)
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    return f"{value:g}" if isinstance(value, float) else str(value)


def meanings_of(cls: type) -> dict[str, str]:
    """The string under each field of a class body."""
    try:
        body = ast.parse(textwrap.dedent(inspect.getsource(cls))).body[0]
    except (OSError, TypeError):
        return {}
    assert isinstance(body, ast.ClassDef)
    found = {}
    for line, after in zip(body.body, body.body[1:], strict=False):
        text = after.value.value if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) else None
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(text, str):
            found[line.target.id] = " ".join(text.split())
    return found


def priors() -> str:
    """What is expected of each method before the data speak."""
    from fewtune.study.choice import PRIORS

    rows = [
        f"| `{name}` | `{prior.over}` | {100 * prior.mean:+.0f} | {100 * prior.spread:.1f} | {prior.source} |"
        for name, prior in PRIORS.items()
    ]
    head = ["| Method | Against | Points more | Give or take | From |", "| --- | --- | --: | --: | --- |"]
    return "\n".join([*head, *rows])


def column_names() -> str:
    """The names that columns are recognised by."""
    from fewtune.data.words import GROUP_WORDS, ID_NAMES, LABEL_TIERS, TEXT_TIERS

    said = []
    for role, tiers in (("Text", TEXT_TIERS), ("Label", LABEL_TIERS)):
        ranked = "; then ".join(", ".join(f"`{name}`" for name in sorted(tier)) for tier in tiers)
        said.append(f"- **{role}**: {ranked}.")
    said.append(f"- **Id**: {', '.join(f'`{name}`' for name in sorted(ID_NAMES))}.")
    said.append(f"- **Hinted at as groups, never used unasked**: {', '.join(f'`{n}`' for n in sorted(GROUP_WORDS))}.")
    return "\n".join(textwrap.fill(line, 118, subsequent_indent="  ", break_on_hyphens=False) for line in said)


def result_format() -> str:
    """`RESULT.md` without its title."""
    text = (ROOT / "src/fewtune/report/RESULT.md").read_text(encoding="utf-8")
    return text.partition("\n")[2].strip()


def audit_format() -> str:
    """`AUDIT.md` without its title."""
    text = (ROOT / "src/fewtune/report/AUDIT.md").read_text(encoding="utf-8")
    return text.partition("\n")[2].strip()


def checks() -> str:
    """Every check of the registry: its name, what it looks at, what it needs."""
    from fewtune.audit.registry import CHECKS

    rows = [
        f"| `{one.name}` | {one.title} | {doc_errors.cell(one.question())} | {', '.join(sorted(one.needs)) or '–'} |"
        for one in CHECKS
    ]
    return "\n".join(["| Name | Called | What it looks at | Needs |", "| --- | --- | --- | --- |", *rows])


def text_scores() -> str:
    """Every score of written text: its name, which way it runs, its unit, what it needs, whence it comes."""
    from fewtune.metrics.text_scores import SCORES

    rows = [
        f"| `{one.name}` | {one.title} | {'higher' if one.higher_is_better else 'lower'} | {one.unit} | {one.needs} "
        f"| {one.paper} |"
        for one in SCORES
    ]
    return "\n".join(
        ["| Name | Called | Better is | Unit | Needs | From |", "| --- | --- | --- | --- | --- | --- |", *rows]
    )


def error_tree() -> str:
    """The tree at the top of `errors.py`."""
    import fewtune.errors

    assert fewtune.errors.__doc__ is not None
    return f"```text\n{fewtune.errors.__doc__.partition(chr(10) * 2)[2].strip()}\n```"


def demo_output(folder: Path) -> str:
    """What `make demo` prints at its end, drawn from the result it left."""
    from rich.console import Console

    from fewtune.report.store import read_result
    from fewtune.report.terminal import ladder_table, summary

    result = read_result(folder)
    console = Console(width=WIDTH, highlight=False, color_system=None, record=True, file=None, quiet=False)
    with console.capture() as captured:
        console.print(ladder_table(result))
        console.print(summary(result))
    lines = [line.rstrip() for line in captured.get().strip("\n").splitlines()]
    return "```text\n" + "\n".join(lines) + "\n```"


def main(arguments: list[str]) -> int:
    """Write every page that is stale; say which."""
    writers = parts()
    if arguments[:1] == ["--demo"]:
        folder = Path(arguments[1])
        writers[DEMO] = lambda: demo_output(folder)
    for page in pages():
        before = page.read_text(encoding="utf-8")
        after = refreshed(before, writers)
        if after != before:
            page.write_text(after, encoding="utf-8")
            sys.stdout.write(f"{page.relative_to(ROOT)} written again\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
