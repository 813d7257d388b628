"""Properties of the choice, whatever its priors are."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fewtune.methods.registry import NAMES
from fewtune.metrics.base import OutOfFold
from fewtune.study.choice import LONGER, PRIORS, Candidate, choose, faded, over_reference

ROWS = 60
FOLDS = np.stack([np.random.default_rng(repeat).permutation(ROWS) % 5 for repeat in range(2)])
LABELS = np.arange(ROWS) % 3


def candidate(method, accuracy, *, seed=0, rows=LABELS):
    """A candidate right on about this share of rows."""
    rng = np.random.default_rng(seed)
    right = rng.random((2, len(rows))) < accuracy
    probs = np.full((2, len(rows), 3), 0.1)
    answer = np.where(right, rows, (rows + 1) % 3)
    for repeat in range(2):
        probs[repeat, np.arange(len(rows)), answer[repeat]] = 0.8
    return Candidate(method, OutOfFold.from_folds(rows, FOLDS, probs))


LADDER = [candidate("majority", 0.33), candidate("zero_shot", 0.4, seed=1), candidate("probe", 0.6, seed=2)]


def test_every_method_has_a_prior():
    assert set(NAMES) <= set(PRIORS)


def test_alone_it_wins():
    assert choose([candidate("probe", 0.1)], 10)[0] == 0
    assert choose([candidate("majority", 0.1)], 10)[0] == 0


@pytest.mark.parametrize("method", [name for name in NAMES if name not in ("majority", "zero_shot", "probe")])
def test_what_is_right_everywhere_beats_what_is_right_nowhere(method):
    winner, beliefs = choose([*LADDER, candidate(method, 1.0)], 20)
    assert winner == 3
    assert len(beliefs) == 4
    winner, _ = choose([*LADDER[:2], candidate("probe", 1.0), candidate(method, 0.0)], 20)
    assert winner == 2


def test_a_baseline_wins_only_outright():
    best = [candidate("majority", 0.99), candidate("zero_shot", 0.3), candidate("probe", 0.1)]
    assert choose(best, 20)[0] == 0
    assert choose([candidate("majority", 0.6), candidate("zero_shot", 0.6), candidate("probe", 0.6)], 20)[0] == 2


def test_equal_predictions_go_to_the_simpler():
    probe = candidate("probe", 0.7)
    twins = [dataclasses.replace(probe, method=name) for name in ("probe", "self_training", "lora", "full")]
    winner, beliefs = choose(twins, 500)
    assert winner == 0
    assert beliefs[0].mean == 0


def test_the_same_method_on_two_backbones():
    """Several backbones put several probes on the ladder."""
    ladder = [LADDER[0], LADDER[1], candidate("probe", 0.7, seed=3), LADDER[1], candidate("probe", 0.98, seed=4)]
    winner, beliefs = choose(ladder, 20)
    assert winner == 4
    assert all(np.isfinite([b.mean, b.spread, b.data_weight]).all() for b in beliefs)
    assert choose([*ladder[:4], candidate("probe", 0.02, seed=4)], 20)[0] == 2


def test_evidence_moves_a_belief_towards_what_was_observed():
    _, beliefs = choose([*LADDER, candidate("lora", 0.9, seed=5)], 20)
    belief = beliefs[3]
    low, high = sorted([belief.prior_mean, belief.observed])
    assert low <= belief.mean <= high
    assert belief.spread <= min(belief.prior_spread, belief.observed_error)
    assert 0 < belief.data_weight < 1


def test_hopes_fade_as_rows_grow():
    for prior in PRIORS.values():
        if prior.mean > 0:
            means = [faded(prior, rows).mean for rows in (1, 8, 16, 64, 640)]
            assert means == sorted(means, reverse=True)
            assert means[3] == pytest.approx(means[1] / 2), "at 64 rows a class half of what is hoped for at 8"


accuracies = st.lists(st.floats(0, 1), min_size=3, max_size=3)


@settings(max_examples=40, deadline=None)
@given(accuracies, st.integers(0, 99), st.floats(1, 500))
def test_the_inner_choice_never_looks_at_the_rows_left_out(shares, seed, rows_per_class):
    """Whatever is predicted for the left-out rows, in whatever split, the choice is the same."""
    methods = ("majority", "probe", "lora")
    ladder = [candidate(m, share, seed=seed + n) for n, (m, share) in enumerate(zip(methods, shares, strict=True))]
    left_out = ladder[0].oof.held_out[0]
    found = choose(ladder, rows_per_class, left_out)[0]
    rng = np.random.default_rng(seed)
    spoiled = []
    for one in ladder:
        probs = [p.copy() for p in one.oof.probs]
        for rows, part in zip(one.oof.held_out, probs, strict=True):
            hidden = np.isin(rows, left_out)
            part[hidden] = rng.dirichlet([1.0] * 3, size=int(hidden.sum()))
        spoiled.append(Candidate(one.method, dataclasses.replace(one.oof, probs=tuple(probs))))
    assert choose(spoiled, rows_per_class, left_out)[0] == found


@settings(max_examples=40, deadline=None)
@given(accuracies, st.integers(0, 99), st.floats(1, 500))
def test_the_choice_is_always_one_of_the_candidates_and_never_far_from_the_best(shares, seed, rows_per_class):
    methods = ("majority", "probe", "lora")
    ladder = [candidate(m, share, seed=seed + n) for n, (m, share) in enumerate(zip(methods, shares, strict=True))]
    winner, beliefs = choose(ladder, rows_per_class)
    best = max(belief.mean for belief in beliefs)
    assert 0 <= winner < 3
    assert all(np.isfinite([b.mean, b.spread, b.observed]).all() for b in beliefs)
    widest = max(float(np.hypot(b.observed_error, b.prior_spread)) for b in beliefs) * 2 + 0.2
    assert best - beliefs[winner].mean <= widest


def test_two_folds_leave_one_to_choose_by():
    folds = np.arange(ROWS) % 2
    oofs = [OutOfFold.from_folds(LABELS, folds[None], c.oof.mean_probs_NC[None]) for c in LADDER]
    ladder = [Candidate(c.method, oof) for c, oof in zip(LADDER, oofs, strict=True)]
    assert choose(ladder, 20, oofs[0].held_out[0])[0] in (0, 1, 2)


def test_what_goes_on_from_a_method_is_believed_a_step_from_it():
    """Its prior and its comparison are of the step; what is believed of its start it inherits."""
    start = candidate("contrastive", 0.8, seed=6)
    same = dataclasses.replace(start, method="contrastive_pool")
    _, beliefs = choose([*LADDER, start, same], 8)
    step = PRIORS["contrastive_pool"]
    assert step.over == "contrastive"
    assert 0 < beliefs[4].mean - beliefs[3].mean < step.mean
    assert beliefs[4].observed == pytest.approx(beliefs[3].observed)
    assert beliefs[4].spread > beliefs[3].spread


def test_what_goes_on_from_a_method_is_taken_unless_the_rows_speak_against_it():
    start, other = candidate("contrastive", 0.8, seed=9), candidate("contrastive_pool", 0.8, seed=11)
    assert -0.02 < other.oof.score - start.oof.score < 0
    assert choose([*LADDER, start, other], 8)[0] == 4
    assert choose([*LADDER, start, candidate("contrastive_pool", 0.3, seed=7)], 8)[0] == 3
    assert choose([*LADDER, start, other], 500)[0] == 3, "with many rows the expected step has faded"


def test_what_goes_on_from_a_method_that_was_not_judged_is_believed_as_much_over_the_probe():
    _, beliefs = choose([*LADDER, candidate("contrastive_pool", 0.8)], 8)
    whole = over_reference("contrastive_pool")
    assert whole.mean == pytest.approx(PRIORS["contrastive"].mean + PRIORS["contrastive_pool"].mean)
    assert (beliefs[3].prior_mean, beliefs[3].prior_spread) == (whole.mean, whole.spread)


def test_each_backbone_has_its_own_start():
    """A second round on the larger backbone is a step from the first round there."""
    small, large = candidate("contrastive", 0.7, seed=8), candidate("contrastive", 0.9, seed=9)
    ladder = [*LADDER, small, large, dataclasses.replace(large, method="contrastive_pool")]
    _, beliefs = choose(ladder, 8)
    assert 0 < beliefs[5].mean - beliefs[4].mean < PRIORS["contrastive_pool"].mean


def test_the_same_for_longer_is_a_step_from_its_own_length():
    """Taken where it is clearly better, not where the two differ by luck."""
    own, other, better = (candidate("contrastive", share, seed=6 + n) for n, share in enumerate((0.85, 0.88, 1.0)))
    _, beliefs = choose([*LADDER, own, dataclasses.replace(other, longer_than=3)], 64)
    assert beliefs[4].prior_mean == beliefs[3].prior_mean
    assert beliefs[4].prior_spread == pytest.approx(float(np.hypot(beliefs[3].prior_spread, LONGER.spread)))
    assert 0 < beliefs[4].mean - beliefs[3].mean < other.oof.score - own.oof.score
    assert choose([*LADDER, own, dataclasses.replace(other, longer_than=3)], 64)[0] == 3
    assert choose([*LADDER, own, dataclasses.replace(better, longer_than=3)], 64)[0] == 4


def test_a_second_round_goes_on_from_the_first_at_its_own_length():
    own = candidate("contrastive", 0.8, seed=6)
    longer = dataclasses.replace(candidate("contrastive", 0.4, seed=7), longer_than=3)
    second = dataclasses.replace(own, method="contrastive_pool")
    _, beliefs = choose([*LADDER, own, longer, second], 8)
    assert 0 < beliefs[5].mean - beliefs[3].mean < PRIORS["contrastive_pool"].mean
