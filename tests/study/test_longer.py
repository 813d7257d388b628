"""Contrastive tuning for longer: where the loss has not settled, where rows are enough, and where it is asked for."""

import numpy as np
import pytest

from fewtune.data.splits import repeated_folds
from fewtune.methods.base import LONGER, TrainingLog
from fewtune.methods.contrastive import Contrastive
from fewtune.methods.contrastive_pool import ContrastivePool
from fewtune.methods.probe import Probe
from fewtune.methods.registry import method_class
from fewtune.metrics.base import OutOfFold
from fewtune.recipe import Recipe
from fewtune.study.epochs import SETTLED, WORTH_LONGER, settled, to_try
from fewtune.study.evaluator import Evaluator, Judged
from fewtune.study.ladder import climb
from fewtune.study.rung import Rung
from fewtune.testing.toys import toy_dataset
from fewtune.tune.run import Context, Outcome

LABELS = np.arange(12) % 3
PREDICTED = OutOfFold.from_folds(LABELS, (np.arange(12) % 2)[None], np.full((1, 12, 3), 1 / 3))


def judged(method, *runs):
    """Of runs with these training losses; None: a run without a log."""
    logs = [None if losses is None else TrainingLog(train_loss=list(losses)) for losses in runs]
    return Judged(Recipe(method), tuple(Outcome(np.zeros((1, 3)), 1.0, log) for log in logs), PREDICTED)


def falling(share):
    return [1.0] * 5 + [0.5] * 20 + [share] * 5


def test_a_loss_has_settled_when_the_mean_run_has_come_down_to_a_third():
    low, high = SETTLED - 0.1, SETTLED + 0.2
    assert settled(judged(Contrastive(), falling(low)))
    assert not settled(judged(Contrastive(), falling(high)))
    assert not settled(judged(Contrastive(), falling(low), falling(high)))
    assert settled(judged(Contrastive(), falling(low), falling(low), falling(high)))
    assert settled(judged(Probe(), None)), "what keeps no log has nothing to go on with"
    assert settled(judged(Contrastive(), [0.0] * 10))


@pytest.mark.parametrize("method", [Contrastive(steps=20), ContrastivePool(), Probe(), method_class("lora")()])
def test_a_length_that_was_asked_for_is_kept_and_others_have_none(method):
    assert to_try([Rung(Recipe(method), judged(method, falling(0.9)))], toy_dataset(WORTH_LONGER).examples) is None


def test_longer_is_tried_once_and_where_rows_are_enough():
    rung = Rung(Recipe(Contrastive()), judged(Contrastive(), falling(0.9)))
    enough, few = toy_dataset(WORTH_LONGER).examples, toy_dataset(WORTH_LONGER - 1).examples
    longer = to_try([rung], enough)
    assert (longer.method.steps, longer.method.most_steps) == (LONGER * 30, LONGER * 120)
    assert longer.title == "Contrastive body tuning, 4 times as long"
    assert longer.hash != rung.recipe.hash
    assert to_try([rung, Rung(longer, judged(longer.method, falling(0.9)))], enough) is None
    assert to_try([rung], few) is None
    assert to_try([Rung(rung.recipe, reason="no time")], enough) is None


def test_it_is_a_rung_of_its_own_where_labels_are_hard_to_learn(tiny_encoder):
    """Shuffled labels: the loss stays high, longer is tried, and is no reason to believe anything."""
    context = Context(toy_dataset(WORTH_LONGER, shuffled=True), {"default": tiny_encoder})
    evaluator = Evaluator(context, repeated_folds(context.labels.tolist(), folds=2, repeats=1, seed=0))
    recipes = [Recipe(method_class(name)()) for name in ("majority", "probe", "contrastive")]
    found = climb(evaluator, recipes)
    assert [rung.recipe.title for rung in found.rungs[2:]] == [
        "Contrastive body tuning",
        "Contrastive body tuning, 4 times as long",
    ]
    own, longer = (rung.judged.outcomes[0].log for rung in found.rungs[2:])
    assert len(longer.train_loss) == LONGER * len(own.train_loss)
    assert np.mean(longer.train_loss[-5:]) < np.mean(own.train_loss[-5:])
    assert len(found.beliefs) == 4
