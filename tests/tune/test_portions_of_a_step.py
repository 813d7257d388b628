"""A batch that memory has no room for is trained in parts: the same losses, the same weights, said once."""

import logging

import numpy as np
import pytest
import torch

from fewtune.backbones.language.load import load_language_model
from fewtune.errors import OutOfMemory
from fewtune.methods.base import Material
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.moving import Moving
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys
from fewtune.tune.loop import train

ROWS = writer_toys().examples[:12]
METHOD = LoRAWriter(rate=1e-2, epochs=3, batch_size=6, dropout=0.0)


@pytest.fixture(scope="module", params=["llama", "t5"])
def model(request, tmp_path_factory):
    folder = make_tiny_writer(tmp_path_factory.mktemp("writers") / request.param, request.param)
    return load_language_model(folder, precision="float32")


def fitted(model):
    prompts = [example.prompt for example in ROWS]
    labels = np.zeros(len(ROWS), dtype=np.int64)
    about = {"examples": list(ROWS), "language_model": model, "template": model.settle()}
    return train(METHOD, Material(texts=prompts, labels=labels, classes=(), encoder=None, seed=3, **about))


def small(method, most):
    """The method, with memory for so many rows at a time while gradients are kept."""
    made = method.costs

    def costs(self, rows):
        if torch.is_grad_enabled() and len(rows) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return made(self, rows)

    return costs


def kinds(base=Moving):
    """Every class that says itself what rows cost."""
    below = [kind for child in base.__subclasses__() for kind in [child, *kinds(child)]]
    return [kind for kind in dict.fromkeys(below) if "costs" in vars(kind)]


@pytest.mark.parametrize("most", [1, 2, 4])
def test_in_parts_as_at_once(model, monkeypatch, caplog, most):
    wanted = fitted(model).costs(ROWS).nll
    for kind in kinds():
        monkeypatch.setattr(kind, "costs", small(kind, most))
    with caplog.at_level(logging.WARNING):
        found = fitted(model).costs(ROWS).nll
    np.testing.assert_allclose(found, wanted, rtol=2e-3)
    said = [record for record in caplog.records if "Memory ran out" in record.message]
    assert len(said) == 1


def test_a_single_row_that_does_not_fit_is_said(model, monkeypatch):
    for kind in kinds():
        monkeypatch.setattr(kind, "costs", small(kind, 0))
    with pytest.raises(OutOfMemory, match="single row"):
        fitted(model)
