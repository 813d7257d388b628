"""The test file of a preference tuning: both models, the same preferences, one paired test."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np

from fewtune.data.exchanges import groups_to_write, prompt_key
from fewtune.data.preferences import WANTED, are_pairs, rejected_of
from fewtune.errors import TaskError
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.paired import compare
from fewtune.report.preferred import costs_against, plain_comparison, preference_scores

if TYPE_CHECKING:
    from fewtune.data.base import Dataset
    from fewtune.writer_folder import WritingModel

LEAST = 2


def read_preferred_test(
    result: dict[str, Any], model: WritingModel, first: WritingModel, train: Dataset, test: Dataset
) -> dict[str, Any]:
    """Score the test file, the one time it is read; rows whose prompt stands in the training file too are left out."""
    if are_pairs(test) != are_pairs(train):
        kinds = ("pairs", "single answers") if are_pairs(train) else ("single answers", "pairs")
        what = f"The preferences learned are {kinds[0]}, and those of the test file {kinds[1]}."
        raise TaskError(what, file=test.source, remedy="Give both in the same form.")
    known = {prompt_key(example) for example in train}
    clean = [row for row, example in enumerate(test) if prompt_key(example) not in known]
    block: dict[str, Any] = {
        "source": test.source,
        "read_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "rows": len(test),
        "scored": len(clean),
        "leaks": [_leak(test, row) for row in sorted(set(range(len(test))) - set(clean))],
    }
    if len(clean) < LEAST:
        block["no_score"] = "nearly every prompt of it also stands in the training file"
    else:
        before = on_test(first, test.subset(clean))
        after = before if model is first else on_test(model, test.subset(clean))
        block |= preference_scores(after, before) | {"first": preference_scores(before, before)}
        found = compare(after.row_scores, before.row_scores, after.held_out, rows=len(clean), groups=after.groups)
        block["against_first"] = plain_comparison(found)
        block["loss_against_first"] = plain_comparison(costs_against(after, before), "bits_per_byte")
    result["test"] = block
    return block


def on_test(model: WritingModel, test: Dataset) -> OutOfFold:
    """What a model makes of the test file's preferences: one split that holds out every row."""
    pairs, count = are_pairs(test), len(test)
    rejected = (model.costs([rejected_of(example) for example in test]),) if pairs else None
    return OutOfFold(
        np.zeros(count, dtype=np.int64),
        (np.arange(count),),
        (np.zeros((count, 0)),),
        groups_to_write(test),
        (model.costs(test.examples),),
        rejected,
        None if pairs else np.asarray([example.label == WANTED for example in test]),
    )


def _leak(test: Dataset, row: int) -> dict[str, Any]:
    example = test.examples[row]
    return {"row": example.row, "id": example.id, "kind": "prompt", "text": example.text}


__all__ = ["on_test", "read_preferred_test"]
