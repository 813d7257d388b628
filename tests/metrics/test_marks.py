from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from fewtune.errors import UsageError
from fewtune.metrics.marks import marks_to_tell, sign_test


def marks(better, worse, ties=0):
    return ["better"] * better + ["worse"] * worse + ["tie"] * ties


def test_by_hand():
    # 9 of 10: (C(10,9) + C(10,10)) · 2 / 2^10.
    found = sign_test(marks(9, 1, 5))
    assert found.p == pytest.approx(22 / 1024)
    assert (found.better, found.worse, found.ties, found.verdict) == (9, 1, 5, "better")
    # Clopper and Pearson by their beta quantiles.
    assert found.share.low == pytest.approx(stats.beta.ppf(0.025, 9, 2))
    assert found.share.high == pytest.approx(stats.beta.ppf(0.975, 10, 1))


@pytest.mark.parametrize("decided", [1, 2, 5, 6, 7, 12, 25, 40])
def test_interval_and_p_always_agree(decided):
    for better in range(decided + 1):
        found = sign_test(marks(better, decided - better))
        told = found.verdict != "cannot be told apart"
        assert (found.p < 0.05) == (not found.share.low <= 0.5 <= found.share.high) == told


def test_a_coin_is_found_out_as_seldom_as_promised():
    # Not simulated: the chance of every count is known.
    chance = stats.binom.pmf(np.arange(31), 30, 0.5)
    told = [sign_test(marks(k, 30 - k)).verdict != "cannot be told apart" for k in range(31)]
    assert 0 < chance @ told <= 0.05


def test_the_exact_interval_holds_the_truth():
    shares = [sign_test(marks(k, 25 - k)).share for k in range(26)]
    for truth in (0.05, 0.3, 0.5, 0.9):
        held = [one.low <= truth <= one.high for one in shares]
        assert stats.binom.pmf(np.arange(26), 25, truth) @ held >= 0.95


def test_no_marks_and_ties_alone_decide_nothing():
    for given in ([], ["tie"] * 4):
        found = sign_test(given)
        assert (found.p, found.share.low, found.share.high, found.verdict) == (1.0, 0.0, 1.0, "cannot be told apart")
    assert sign_test(["tie"] * 4).sentence.endswith("(4 ties).")


def test_several_marks_of_one_prompt_are_one_vote():
    given = ["better", "better", "worse", "worse", "better", "tie"]
    found = sign_test(given, groups=["a", "a", "a", "b", "c", "c"])
    assert (found.better, found.worse, found.ties) == (2, 1, 0)
    assert sign_test(["better", "worse"], groups=["a", "a"]).ties == 1


def test_the_sentence_says_who_and_how_sure():
    found = sign_test(marks(18, 2, 1), names=("the tuned model", "few-shot prompting"))
    assert found.sentence == (
        "The tuned model was marked better 18 times, few-shot prompting 2 times, 1 tie "
        "(90% of the decided marks, 68% to 99%): it is better."
    )
    assert "it is worse" in sign_test(marks(1, 18)).sentence
    assert "cannot be told apart with this many marks" in sign_test(marks(3, 2)).sentence


def test_another_mark_is_refused_with_its_place():
    with pytest.raises(UsageError, match=r"mark 2 is 'good'. A mark is better, worse or tie"):
        sign_test(["better", "good"])


def test_marks_to_tell_are_about_enough():
    needed = marks_to_tell(0.7)
    told = [sign_test(marks(k, needed - k)).verdict == "better" for k in range(needed + 1)]
    # The exact test is a little stricter than the normal approximation it was counted with.
    assert 0.7 <= stats.binom.pmf(np.arange(needed + 1), needed, 0.7) @ told <= 0.9
    assert marks_to_tell(0.3) == needed
    assert marks_to_tell(0.5) is None
