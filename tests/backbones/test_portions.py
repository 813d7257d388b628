"""Memory that runs out costs steps, never a result."""

import pytest
import torch

from fewtune.backbones.portions import Portions, out_of_memory


def room_for(rows, seen):
    def work(part):
        seen.append(len(part))
        if len(part) > rows:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return [2 * one for one in part]

    return work


@pytest.mark.parametrize("rows", [1, 2, 3, 7, 50])
def test_what_is_mapped_is_the_same_at_every_size(rows):
    said, seen = [], []
    portions = Portions(said.append)
    assert portions.map(range(20), room_for(rows, seen)) == [2 * one for one in range(20)]
    assert len(said) == (rows < 20)
    before = len(seen)
    portions.map(range(20), room_for(rows, seen))
    assert all(size <= rows for size in seen[before:]), "what fitted is remembered"
    assert len(said) == (rows < 20), "said once"


def test_one_row_that_does_not_fit_is_the_callers():
    with pytest.raises(torch.OutOfMemoryError):
        Portions(lambda said: None).map(range(4), room_for(0, []))


def test_other_errors_are_not_swallowed():
    def work(part):
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes"):
        Portions().map(range(4), work)


def test_which_errors_mean_memory():
    assert out_of_memory(MemoryError())
    assert out_of_memory(torch.OutOfMemoryError())
    assert out_of_memory(RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"))
    assert not out_of_memory(ValueError("out of memory"))


@pytest.mark.parametrize("rows", [1, 3, 8])
def test_accumulated_gradients_are_those_of_the_whole_batch(rows):
    torch.manual_seed(0)
    model, data = torch.nn.Linear(5, 3), torch.randn(8, 5)

    def loss_of(part):
        return model(data[list(part)]).square().sum() / len(data)

    loss_of(range(8)).backward()
    wanted, wanted_loss = model.weight.grad.clone(), float(loss_of(range(8)).detach())
    model.zero_grad()

    def backward(part):
        loss = loss_of(part)
        loss.backward()
        if len(part) > rows:  # on the way back, where memory is fullest
            raise MemoryError
        return float(loss.detach())

    said = []
    loss = Portions(said.append).accumulate(range(8), backward, restart=model.zero_grad)
    assert loss == pytest.approx(wanted_loss)
    torch.testing.assert_close(model.weight.grad, wanted)
    assert len(said) == (rows < 8)
