"""What a person sees while a study runs: bars with time left on standard error, the result at the end."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from fewtune.study.progress import Progress

if TYPE_CHECKING:
    from fewtune.data.base import Dataset


class Screen(Progress):
    """Draws on standard error; standard output is for results alone."""

    def __init__(self, *, quiet: bool) -> None:
        self.console = Console(stderr=True, highlight=False, quiet=quiet)
        self.bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[result]}"),
            console=self.console,
            disable=quiet or not self.console.is_terminal,
        )
        self.task: Any = None
        self.title = ""

    def __enter__(self) -> Screen:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bars.stop()

    def start(self, title: str, total: int) -> None:
        """A bar for the stage."""
        self.title = title
        self.task = self.bars.add_task(f"{title:<46.46}", total=total, result="")

    def advance(self) -> None:
        """One run further."""
        self.bars.advance(self.task)

    def finish(self, sentence: str = "") -> None:
        """The stage's result stands beside its bar; without a terminal it is a line of its own."""
        total = next(task.total for task in self.bars.tasks if task.id == self.task)
        if not sentence.startswith("not judged"):
            self.bars.update(self.task, completed=total)
        self.bars.update(self.task, result=sentence)
        if self.bars.disable and sentence:
            self.console.print(f"{self.title}: {sentence}", markup=False)

    def say(self, sentence: str) -> None:
        """A line."""
        self.console.print(sentence, markup=False)

    def notes(self, dataset: Dataset) -> None:
        """What the reader chose."""
        told = dataset.classes if dataset.task == "classification" else ()
        classes = f", {len(told)} classes" if told else ""
        self.say(f"{dataset.source}: {len(dataset)} rows{classes}")
        for note in dataset.notes:
            self.say(f"  · {note}")

    def result(self, result: dict[str, Any], folder: Path) -> None:
        """The verdict, the ladder and where the page is, on standard output."""
        from fewtune.report import preferred_terminal, terminal, written_terminal

        task = result.get("task", "classification")
        told = {"classification": terminal, "preference": preferred_terminal}.get(task, written_terminal)
        console = Console(highlight=False)
        console.print(told.ladder_table(result))
        console.print(told.summary(result))
        # Paths are for copying: never wrapped.
        console.print(f"Page:  {folder / 'report.html'}\nModel: {folder / 'model'}", markup=False, soft_wrap=True)

    def stages(self, result: dict[str, Any], folder: Path, model: Path) -> None:
        """What every stage gave and took, on standard output."""
        from fewtune.report import stages_terminal

        console = Console(highlight=False)
        console.print(stages_terminal.stages_table(result))
        console.print(stages_terminal.summary(result))
        console.print(f"Page:  {folder / 'report.html'}\nModel: {model}", markup=False, soft_wrap=True)

    def audit(self, result: dict[str, Any], page: Path) -> None:
        """What a check found, on standard output."""
        from fewtune.report.audit_terminal import summary

        console = Console(highlight=False)
        console.print(summary(result))
        console.print(f"\nPage: {page}", markup=False, soft_wrap=True)


def screen(*, quiet: bool) -> Screen:
    """A screen for standard error."""
    return Screen(quiet=quiet)
