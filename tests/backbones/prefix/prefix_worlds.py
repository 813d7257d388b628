"""Texts and values made up from numbers."""

import torch


def key(number):
    return number.to_bytes(16, "little")


def texts(*numbers):
    """Made-up tokens by key: text 5 has the tokens [5, 5, 5, …]."""
    return {key(number): [number] * (1 + number % 7) for number in numbers}


def value(number):
    return torch.full((1 + number % 7, 16), float(number))
