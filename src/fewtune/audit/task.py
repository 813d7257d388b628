"""Whether the labelled rows make a classification task at all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from fewtune.audit.base import Check, Finding, Ground, Need, named
from fewtune.data.checks import SPELLINGS, check_task, spelled_alike
from fewtune.errors import TaskError


class Task(Check):
    """Two classes or more, texts that differ, and labels that name rather than measure."""

    name: ClassVar[str] = "task"
    title: ClassVar[str] = "A task that can be learnt"
    needs: ClassVar[frozenset[Need]] = frozenset({"labels"})

    def run(self, ground: Ground) -> Iterator[Finding]:
        """What `fewtune fit` would refuse, in the words it would use; then class names that are one but for case."""
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
        for names in spelled_alike(train.class_sizes):
            rare = min(names, key=train.class_sizes.__getitem__)
            yield Finding(
                self.name,
                "warning",
                f"Labels that differ in {SPELLINGS} only are kept apart: {', '.join(map(repr, names))}.",
                "If they mean the same, each is learnt from a part of the rows, and a right answer counts as wrong.",
                "Write them alike in the file, if they are one class.",
                tuple(named("train", example) for example in train if example.label == rare),
                {"rows": {name: train.class_sizes[name] for name in names}},
            )
