"""AdamW, of one run and over many, is PyTorch's."""

import numpy as np
import pytest
import torch

from fewtune.tune.optimiser import StackedAdamW, update

SETTINGS = [(1e-2, 0.0, 1e9), (3e-3, 0.1, 1e9), (5e-2, 0.01, 0.5)]
"""Rate, weight decay and clipping of each run."""


def tensors(slots):
    generator = torch.Generator().manual_seed(0)
    shapes = [(slots, 3, 4), (slots, 5), (slots, 2, 2)]
    return [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def gradients(step, slots):
    generator = torch.Generator().manual_seed(100 + step)
    return [torch.randn(tensor.shape, generator=generator) for tensor in tensors(slots)]


def alone(run, steps):
    """PyTorch's own on one run's slices."""
    rate, decay, clip = SETTINGS[run]
    mine = [torch.nn.Parameter(tensor[run].detach().clone()) for tensor in tensors(len(SETTINGS))]
    groups = [{"params": mine[:2], "lr": rate, "weight_decay": decay}, {"params": mine[2:], "lr": rate / 10}]
    optimiser = torch.optim.AdamW(groups, weight_decay=decay)
    peaks = [group["lr"] for group in optimiser.param_groups]
    for step, factor in steps:
        for parameter, gradient in zip(mine, gradients(step, len(SETTINGS)), strict=True):
            parameter.grad = gradient[run].clone()
        torch.nn.utils.clip_grad_norm_(mine, clip)
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * factor
        optimiser.step()
    return mine


def groups_of(run):
    rate, decay, _ = SETTINGS[run]
    return [{"lr": rate, "weight_decay": decay}, {"lr": rate / 10, "weight_decay": decay}]


@pytest.fixture(params=[False, True], ids=["at once", "each apart"])
def stacked(request):
    mine = tensors(len(SETTINGS))
    optimiser = StackedAdamW([mine[:2], mine[2:]], apart=request.param)
    for run in range(len(SETTINGS)):
        optimiser.enter(run, groups_of(run))
    return mine, optimiser


def test_each_run_is_stepped_as_pytorch_steps_it(stacked):
    mine, optimiser = stacked
    steps = [(step, 1 - step / 10) for step in range(6)]
    clips = {run: clip for run, (_, _, clip) in enumerate(SETTINGS)}
    for step, factor in steps:
        optimiser.step(gradients(step, len(SETTINGS)), dict.fromkeys(range(len(SETTINGS)), factor), clips)
    for run in range(len(SETTINGS)):
        for ours, theirs in zip(mine, alone(run, steps), strict=True):
            np.testing.assert_allclose(ours[run].detach(), theirs.detach(), rtol=1e-5, atol=1e-6)


def test_a_run_that_takes_no_step_stays_and_counts_its_own_steps(stacked):
    mine, optimiser = stacked
    still = [tensor[1].detach().clone() for tensor in mine]
    clips = dict.fromkeys(range(3), 1e9)
    optimiser.step(
        [torch.zeros_like(g).index_copy(0, torch.tensor([0, 2]), g[[0, 2]]) for g in gradients(0, 3)],
        {0: 1.0, 2: 1.0},
        clips,
    )
    for ours, before in zip(mine, still, strict=True):
        assert torch.equal(ours[1], before)
    assert optimiser.steps_K.tolist() == [1, 0, 1]


def test_whoever_enters_a_slot_remembers_nothing_of_the_last(stacked):
    mine, optimiser = stacked
    clips = dict.fromkeys(range(3), 1e9)
    for step in range(3):
        optimiser.step(gradients(step, 3), dict.fromkeys(range(3), 1.0), clips)
    with torch.no_grad():
        for ours, fresh in zip(mine, tensors(3), strict=True):
            ours[0].copy_(fresh[0])
    optimiser.enter(0, groups_of(0))
    optimiser.step(gradients(7, 3), dict.fromkeys(range(3), 1.0), clips)
    for ours, theirs in zip(mine, alone(0, [(7, 1.0)]), strict=True):
        np.testing.assert_allclose(ours[0].detach(), theirs.detach(), rtol=1e-5, atol=1e-6)


def test_the_tensors_are_views_of_one_buffer(stacked):
    mine, optimiser = stacked
    optimiser.weights_KP[2] = 7.0
    assert all(bool((tensor[2] == 7).all()) for tensor in mine)
    assert optimiser.weights_KP.shape == (3, 12 + 5 + 4)


@pytest.mark.parametrize("run", range(len(SETTINGS)))
def test_one_run_is_stepped_as_pytorch_steps_it(run):
    """The first step makes the moments, by PyTorch itself; what has no gradient in a step stays as it is."""
    _, decay, clip = SETTINGS[run]
    mine = [torch.nn.Parameter(tensor[run].detach().clone()) for tensor in tensors(len(SETTINGS))]
    spare = torch.nn.Parameter(torch.ones(3))
    rates = groups_of(run)
    groups = [{**rates[0], "params": [*mine[:2], spare]}, {**rates[1], "params": mine[2:]}]
    optimiser = torch.optim.AdamW(groups, weight_decay=decay, fused=True)
    steps = [(step, 1 - step / 10) for step in range(6)]
    for step, factor in steps:
        for parameter, gradient in zip(mine, gradients(step, len(SETTINGS)), strict=True):
            parameter.grad = gradient[run].clone()
        for group, rate in zip(optimiser.param_groups, rates, strict=True):
            group["lr"] = rate["lr"] * factor
        update(optimiser, clip)
    for ours, theirs in zip(mine, alone(run, steps), strict=True):
        np.testing.assert_allclose(ours.detach(), theirs.detach(), rtol=1e-5, atol=1e-6)
        assert int(optimiser.state[ours]["step"]) == len(steps)
    assert torch.equal(spare, torch.ones(3))
