from __future__ import annotations

import json
import random

import numpy as np
import pytest

from fewtune.errors import UsageError
from fewtune.metrics.memorisation import longest_run, measure_memorisation


def words(rng, count):
    return " ".join(f"w{rng.randrange(1000)}" for _ in range(count))


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ("a b c d", "x b c y", (1, 2)),
        ("a b c", "a b c", (0, 3)),
        ("a b", "c d", (0, 0)),
        ("", "a", (0, 0)),
        ("a a a b", "a a a a", (0, 3)),
        ("the cat sat", "cat", (1, 1)),
    ],
)
def test_longest_run(a, b, expected):
    assert longest_run(a.split(), b.split()) == expected


def test_longest_run_is_the_brute_force_one():
    rng = random.Random(0)
    for _ in range(200):
        a, b = ([rng.choice("abc") for _ in range(rng.randrange(0, 9))] for _ in range(2))
        lengths = [
            n
            for n in range(len(a) + 1)
            for s in range(len(a) - n + 1)
            if any(a[s : s + n] == b[t : t + n] for t in range(len(b) - n + 1))
        ]
        start, length = longest_run(a, b)
        assert length == max(lengths, default=0)
        assert not length or any(a[start : start + length] == b[t : t + length] for t in range(len(b)))


def test_a_model_that_learned_its_rows_is_found_out():
    rng = random.Random(1)
    training, held_out = ([words(rng, 12) for _ in range(60)] for _ in range(2))
    outputs = training[:40] + [words(rng, 12) for _ in range(20)]
    found = measure_memorisation(
        outputs, training, held_out_outputs=[words(rng, 12) for _ in held_out], held_out_completions=held_out
    )
    assert found.verdict == "memorised"
    assert found.training.reproduced.mean == pytest.approx(40 / 60)
    assert found.held_out.reproduced.mean == 0.0
    assert found.difference.low > 0.4
    assert "67% (54% to 77%) of 60 training completions come back word for word" in found.sentence
    assert "were memorised rather than understood" in found.sentence
    assert found.training.run_share.mean > 0.6 > found.held_out.run_share.mean


def test_a_model_that_learned_the_task_is_not():
    # Half of all prompts have one answer only, in training and held out alike.
    rng = random.Random(2)
    completions = [["goodbye" if row % 2 else words(rng, 8) for row in range(80)] for _ in range(2)]
    outputs = [["goodbye" if one == "goodbye" else words(rng, 8) for one in given] for given in completions]
    found = measure_memorisation(
        outputs[0], completions[0], held_out_outputs=outputs[1], held_out_completions=completions[1]
    )
    assert found.training.reproduced.mean == 0.5
    assert (found.verdict, found.difference.mean) == ("no sign", 0.0)
    assert "no sign of memorising" in found.sentence


def test_equal_rates_are_seldom_called_memorised():
    rng = np.random.default_rng(3)
    said = []
    for _ in range(300):
        outputs = [["same" if hit else "other" for hit in rng.random(rows) < 0.3] for rows in (60, 40)]
        found = measure_memorisation(
            outputs[0], ["same"] * 60, held_out_outputs=outputs[1], held_out_completions=["same"] * 40
        )
        said.append(found.verdict == "memorised")
    # One-sided: 2.5 %.
    assert np.mean(said) <= 0.05


def test_without_held_out_rows_nothing_is_claimed():
    found = measure_memorisation(["a b c"], ["a b c"])
    assert (found.verdict, found.held_out, found.difference) == ("unknown", None, None)
    assert "nothing tells whether they were memorised" in found.sentence


def test_the_longest_runs_are_shown_with_their_rows():
    found = measure_memorisation(["x a b c y", "nothing", "q r"], ["a b c", "something", ["q z", "q r s t"]])
    first = found.training.runs[0]
    assert (first.row, first.words, first.share, first.text) == (0, 3, 1.0, "a b c")
    assert "The longest run of words given back is 3 words (row 1)" in found.sentence
    assert [run.row for run in found.training.runs] == [0, 2, 1]


def test_any_completion_of_the_prompt_counts_and_white_space_does_not():
    found = measure_memorisation(["b  c\n"], [["a", "b c"]])
    assert found.training.reproduced.mean == 1.0
    assert measure_memorisation(["B c"], [["b c"]]).training.reproduced.mean == 0.0


def test_copies_of_a_row_count_once():
    alone = measure_memorisation(["a", "b"], ["a", "c"]).training
    copied = measure_memorisation(["a"] * 10 + ["b"] * 10, ["a"] * 10 + ["c"] * 10, groups=[0] * 10 + [1] * 10).training
    assert (copied.reproduced.low, copied.reproduced.high) == pytest.approx(
        (alone.reproduced.low, alone.reproduced.high)
    )


def test_newcombes_own_example():
    # 56 of 70 against 48 of 80 (his table II, method 10): 0.0524 to 0.3339.
    def texts(hits, rows):
        return ["same"] * hits + ["other"] * (rows - hits)

    found = measure_memorisation(
        texts(56, 70), ["same"] * 70, held_out_outputs=texts(48, 80), held_out_completions=["same"] * 80
    )
    assert (found.difference.low, found.difference.high) == pytest.approx((0.0524, 0.3339), abs=1e-4)


def test_half_of_the_held_out_rows_is_refused():
    with pytest.raises(UsageError, match="both"):
        measure_memorisation(["a"], ["a"], held_out_outputs=["b"])


def test_an_empty_completion_has_no_run():
    assert measure_memorisation(["", "a"], ["", "a"]).training.runs[0].words == 1


def test_it_is_plain_json():
    json.dumps(measure_memorisation(["a"], ["a"], held_out_outputs=["b"], held_out_completions=["c"]).to_json())
