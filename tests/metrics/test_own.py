from __future__ import annotations

import numpy as np
import pytest

from fewtune.errors import UsageError
from fewtune.metrics.answers import Answers
from fewtune.metrics.corpus import RowStatistics
from fewtune.metrics.own import CorpusFunction, OwnScore, own_score
from fewtune.metrics.paired_corpus import compare_texts
from fewtune.metrics.resampling import Resampling, corpus_interval

ANSWERS = Answers.of(["a b", "c", "d e f"], ["a b", "x", ["d", "d e f"]], prompts=["p", "q", "r"])


def matches(outputs, references):
    return [output in given for output, given in zip(outputs, references, strict=True)]


def words(outputs, references):
    return sum(len(output.split()) for output in outputs) / len(outputs)


def from_file(tmp_path, code, spec="mine={path}:score"):
    path = tmp_path / "scores.py"
    path.write_text(code, encoding="utf-8")
    return spec.format(path=path)


def test_a_function_of_rows_is_their_mean_and_is_resampled_by_rows():
    score = own_score(matches).score(ANSWERS)
    assert isinstance(score, RowStatistics)
    assert (score.name, score.value()) == ("matches", pytest.approx(2 / 3))
    assert score.is_rate


def test_a_function_of_everything_is_called_anew_for_each_draw():
    score = own_score(words).score(ANSWERS)
    assert isinstance(score, CorpusFunction)
    assert score.value() == 2.0
    times = np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 2.0]])
    assert score.of_draws(times, np.arange(3)).tolist() == [2.0, 7 / 3]
    found = corpus_interval(score, Resampling.of(3, draws=50))
    assert found.low < 2.0 < found.high


def test_two_systems_are_compared_by_either_kind():
    other = Answers.of(["a b c d", "c d e", "d e f g h"], ANSWERS.references, prompts=ANSWERS.prompts)
    for function in (words, lambda outputs, references: [len(output.split()) for output in outputs]):
        own = OwnScore("words", function)
        found = compare_texts(own.score(other), own.score(ANSWERS), draws=100, swaps=100)
        assert found.difference == pytest.approx(2.0)
        # Three rows can be swapped in eight ways: no p below a quarter is to be had.
        assert found.p >= 0.25


def test_prompts_are_given_to_a_function_that_asks_for_them():
    def echoed(outputs, references, prompts):
        return [float(output == prompt) for output, prompt in zip(outputs, prompts, strict=True)]

    answers = Answers.of(["p", "x"], ["a", "b"], prompts=["p", "q"])
    assert own_score(echoed).score(answers).value() == 0.5


def test_it_says_which_way_it_runs_and_how_far():
    def errors(outputs, references):
        return [1.0] * len(outputs)

    errors.higher_is_better, errors.bounds = False, (0, 2)
    score = own_score(errors).score(ANSWERS)
    assert (score.higher_is_better, score.bounds) == (False, (0.0, 2.0))
    # With bounds, rows that all score alike leave room on both sides.
    found = corpus_interval(score, Resampling.of(3))
    assert 0 < found.low < 1 < found.high < 2


def test_from_a_file(tmp_path):
    spec = from_file(tmp_path, "def score(outputs, references):\n    return len(outputs)\n")
    found = own_score(spec)
    assert (found.name, found.where) == ("mine", "scores.py:score")
    assert found.score(ANSWERS).value() == 3.0


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("[1, 2]", "returned 2 numbers for 3 rows. Return one number, or a list of 3"),
        ("[[1], [2], [3]]", "returned 3 numbers for 3 rows"),
        ("'high'", "returned str 'high'"),
        ("'7'", "returned a text"),
        ("None", "returned no finite number"),
        ("{'bleu': 1}", "returned dict"),
        ("float('nan')", "returned no finite number. "),
        ("[1, 2, float('inf')]", "returned no finite number for row 3"),
        ("[]", "returned 0 numbers for 3 rows"),
        ("1 / 0", r"failed: ZeroDivisionError: division by zero \(scores.py, line 2\)"),
        ("outputs.score", "failed: AttributeError"),
    ],
)
def test_what_it_returns_is_checked(tmp_path, returned, said):
    spec = from_file(tmp_path, f"def score(outputs, references):\n    return {returned}\n")
    with pytest.raises(UsageError, match=f"The score 'mine' {said}"):
        own_score(spec).score(ANSWERS)


def test_values_outside_the_bounds_it_states_are_refused(tmp_path):
    code = "def score(outputs, references):\n    return [0, 1, 5]\nscore.bounds = (0, 1)\n"
    with pytest.raises(UsageError, match=r"returned 0 to 5, outside its `bounds` \(0, 1\)"):
        own_score(from_file(tmp_path, code)).score(ANSWERS)


@pytest.mark.parametrize(
    "spec", ["score", "mine=scores.py", "scores.py:score", "=scores.py:score", "mine=:score", "a=b:"]
)
def test_another_form_is_refused(spec):
    with pytest.raises(UsageError, match=r"Write it as name=path.py:function"):
        own_score(spec)


def test_a_file_that_cannot_be_used_is_named(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.py is no file"):
        own_score("mine=nowhere.py:score")
    with pytest.raises(UsageError, match=r"scores\.py has no function 'score'"):
        own_score(from_file(tmp_path, "other = 1\n"))
    with pytest.raises(UsageError, match=r"scores\.py cannot be run: SyntaxError"):
        own_score(from_file(tmp_path, "def score(:\n"))
    with pytest.raises(UsageError, match=r"cannot be run: ModuleNotFoundError"):
        own_score(from_file(tmp_path, "import no_such_module_anywhere\n"))


def test_the_function_cannot_change_what_is_scored():
    def spoils(outputs, references):
        outputs[:], references[0][:] = ["x"] * len(outputs), ["x"]
        return 1.0

    own_score(spoils).score(ANSWERS)
    assert ANSWERS.outputs == ("a b", "c", "d e f")
    assert ANSWERS.references[0] == ("a b",)
