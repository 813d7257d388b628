"""Toy preferences in the words of the tiny writers' tokenizers: a whole sentence is better than a heap of words."""

from __future__ import annotations

from itertools import product

import numpy as np

from fewtune.data.base import Dataset, Example
from fewtune.data.preferences import UNWANTED, WANTED
from fewtune.testing.writer_toys import FOODS, NAMES, PLACES

PRICES = ("cheap", "good", "one", "two")


def preference_toys(rows: int = 32, *, shuffled: bool = False, single: bool = False, seed: int = 0) -> Dataset:
    """Pairs of answers to small orders.

    Parameters
    ----------
    shuffled : which answer is chosen is a toss of a coin: there is nothing to learn.
    single : one answer a row, wanted or not, in place of pairs.
    seed : of the order and of the coin.
    """
    rng = np.random.default_rng(seed)
    orders = [list(product(NAMES, FOODS, PLACES, PRICES))[place] for place in rng.permutation(64)[:rows]]
    coins = rng.random(len(orders)) < 0.5
    examples = []
    for row, ((name, food, place, price), coin) in enumerate(zip(orders, coins.tolist(), strict=True), start=1):
        prompt = f"name[{name}], food[{food}], area[{place}], price[{price}]"
        answers = [f"{name} serves {price} {food} food at the {place}.", f"{food} {price} {place} dog cat {name} red"]
        if shuffled and coin:
            answers.reverse()
        if single:
            label = WANTED if row % 2 else UNWANTED
            given = answers[0] if row % 2 else answers[1]
            examples.append(Example(prompt, label, id=str(row), row=row, completion=given))
        else:
            examples.append(Example(prompt, id=str(row), row=row, completion=answers[0], rejected=answers[1]))
    columns = ("completion", "label") if single else ("chosen", "rejected")
    return Dataset(
        tuple(examples), task="preference", source="preference toys", text_column="prompt", label_column=columns[1]
    )
