"""The faults planted in `examples/tickets.csv` stand in the top tenth of their lists. Only tests read the key."""

import json
from collections import defaultdict
from pathlib import Path

import pytest

from fewtune.audit.base import Ground
from fewtune.audit.label_errors import beliefs, ranking, suspects
from fewtune.auditing import lay
from fewtune.backbones.load import load_encoder
from fewtune.data.read import read

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def key():
    return json.loads((EXAMPLES / "tickets_key.json").read_text())


@pytest.fixture(scope="module")
def ground() -> Ground:
    return lay(read(EXAMPLES / "tickets.csv"), encoder=load_encoder())


@pytest.fixture(scope="module")
def top(ground):
    return len(ground.train) // 10 + 1


def test_wrong_labels_are_in_the_top_tenth_and_on_the_list_shown(ground, key, top):
    seen = ground.predictions
    order = ranking(seen.labels_N, beliefs(seen.labels_N, seen.probs_NC, seen.features_NF, ground.groups))
    examples = ground.train.examples
    planted = {wrong["id"] for wrong in key["wrong_labels"]}
    assert planted <= {examples[row].id for row in order[:top]}
    assert planted <= {examples[suspect.index].id for suspect in suspects(ground)}


def test_most_suggestions_are_what_the_label_was(ground, key):
    true = {wrong["id"]: wrong["true"] for wrong in key["wrong_labels"]}
    found = {ground.train.examples[suspect.index].id: suspect.suggested for suspect in suspects(ground)}
    assert sum(found.get(row) == label for row, label in true.items()) >= 14


def test_planted_copies_are_all_in_the_list_of_copies(ground, key, top):
    members = defaultdict(set)
    for example, cluster in zip(ground.train.examples, ground.clusters, strict=True):
        members[cluster].add(example.id)
    repeated = [ids for ids in members.values() if len(ids) > 1]
    assert sum(len(ids) - 1 for ids in repeated) <= top
    for pair in (*key["near_duplicates"], *key["exact_duplicates"]):
        assert any(set(pair) <= ids for ids in repeated), pair
