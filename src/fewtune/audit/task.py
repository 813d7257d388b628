"""Whether the labelled rows make a classification task at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need
from fewtune.data.checks import check_task
from fewtune.errors import TaskError


class Task(Check):
    """Two classes or more, texts that differ, and labels that name rather than measure."""

    name: ClassVar[str] = "task"
    title: ClassVar[str] = "A task that can be learnt"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """What `fewtune fit` would refuse, in the words it would use."""
        train = ground.train
        try:
            check_task(train.texts, train.labels, train.source, train.label_column or "label")
        except TaskError as error:
            yield Finding(
                self.name,
                "blocks",
                error.what,
                "These rows make no classification task: `fewtune fit` refuses them.",
                error.remedy,
                numbers={"rows": len(train), "classes": len(train.classes)},
            )
