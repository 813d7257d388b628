import math

import numpy as np
import pytest
from ngram import KneserNey, chen_goodman

VOCABULARY = 7


@pytest.fixture(scope="module")
def trigram():
    text = np.random.default_rng(0).choice(6, size=600, p=[0.4, 0.25, 0.15, 0.1, 0.06, 0.04])
    return KneserNey(VOCABULARY, order=3).fit(text)


def after(model, context, token):
    return float(2 ** model.log2_probs([*context, token])[-1])


@pytest.mark.parametrize("context", [[], [0], [5], [6], [0, 1], [5, 5], [6, 0], [0, 6], [1, 2, 3, 4]])
def test_the_probabilities_after_any_context_sum_to_one(trigram, context):
    assert sum(after(trigram, context, token) for token in range(VOCABULARY)) == pytest.approx(1)


def test_a_token_never_seen_has_a_probability(trigram):
    assert 0 < after(trigram, [0, 1], 6) < after(trigram, [0, 1], 0)


def test_only_the_order_less_one_tokens_before_count(trigram):
    assert after(trigram, [3, 0, 1], 2) == pytest.approx(after(trigram, [4, 4, 0, 1], 2))


def test_each_token_is_scored_as_if_it_were_the_last(trigram):
    text = [0, 1, 6, 2, 0, 0, 5]
    assert list(trigram.log2_probs(text)) == pytest.approx(
        [math.log2(after(trigram, text[:i], text[i])) for i in range(len(text))]
    )


def test_discounts_are_those_of_chen_and_goodman():
    counts = np.repeat([1, 2, 3, 4, 9], [8, 4, 2, 1, 3])
    # y = 8 / (8 + 2 * 4) = 1/2; 1 - 2y * 4/8, 2 - 3y * 2/4, 3 - 4y * 1/2
    assert list(chen_goodman(counts)) == [0.0, 0.5, 1.25, 2.0]


def test_discounts_of_a_text_too_small_are_fixed():
    assert list(chen_goodman(np.array([1, 1, 2]))) == [0.0, 0.5, 1.0, 1.5]


def test_a_bigram_worked_by_hand():
    # Text 0 1 0 1 0 2; vocabulary of 4. Bigrams 01 twice, 10 twice, 02 once; too few to tell discounts: .5, 1, 1.5.
    model = KneserNey(4, order=2).fit([0, 1, 0, 1, 0, 2])
    # Unigrams count the different tokens before: 0 after 1, 1 after 0, 2 after 0: one each of three, less a half each.
    lower = [0.5 / 3 + 0.5 / 4] * 3 + [0.5 / 4]
    # After 0: 1 twice (discount 1), 2 once (discount .5), three in all; a half of the mass goes down.
    assert after(model, [0], 1) == pytest.approx((2 - 1) / 3 + 0.5 * lower[1])
    assert after(model, [0], 2) == pytest.approx((1 - 0.5) / 3 + 0.5 * lower[2])
    assert after(model, [0], 3) == pytest.approx(0.5 * lower[3])
    assert after(model, [1], 0) == pytest.approx((2 - 1) / 2 + 0.5 * lower[0])
    # 2 was never followed by anything: the order below alone speaks.
    assert after(model, [2], 0) == pytest.approx(lower[0])


def brute_force(text, order, vocabulary):
    """The formula as it is written, over dictionaries."""
    grams = {n: [tuple(text[i : i + n]) for i in range(len(text) - n + 1)] for n in range(1, order + 1)}
    counts = {order: {gram: grams[order].count(gram) for gram in grams[order]}}
    for n in range(1, order):
        counts[n] = {gram: len({long[0] for long in grams[n + 1] if long[1:] == gram}) for gram in grams[n]}
    discounts = {n: chen_goodman(np.array(list(of.values()))) for n, of in counts.items()}

    def prob(context, token, n):
        if n == 0:
            return 1 / vocabulary
        follows = {gram: count for gram, count in counts[n].items() if gram[:-1] == context}
        total = sum(follows.values())
        below = prob(context[1:], token, n - 1)
        if total == 0:
            return below
        discount = {gram: discounts[n][min(count, 3)] for gram, count in follows.items()}
        gram = (*context, token)
        own = follows[gram] - discount[gram] if gram in follows else 0.0
        return (own + sum(discount.values()) * below) / total

    return lambda context, token: prob(tuple(context[-(order - 1) :]), token, order)


def test_it_equals_the_formula_over_dictionaries():
    text = np.random.default_rng(1).choice(5, size=300, p=[0.4, 0.3, 0.15, 0.1, 0.05]).tolist()
    model, formula = KneserNey(6, order=4).fit(text), brute_force(text, 4, 6)
    for context in ([0, 1, 2], [1, 1, 1], [4, 4, 4], [5, 0, 0], [0, 0, 5], [3, 2, 1]):
        for token in range(6):
            assert after(model, context, token) == pytest.approx(formula(context, token)), (context, token)


def test_more_context_helps_on_text_that_repeats_itself():
    text = [0, 1, 2, 3, 4, 0, 2, 1, 4, 3] * 50
    scores = [KneserNey(5, order).fit(text).log2_probs(text).sum() for order in (1, 2, 3)]
    assert scores == sorted(scores)
