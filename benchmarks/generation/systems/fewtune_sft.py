"""LoRA by fewtune's engine: what `fewtune fit` does for one run."""

from __future__ import annotations

from typing import Any

import transformers
from cells import examples_of, fitted_on, material_of
from sft import ALPHA, RANK, Job, Stopwatch

from fewtune.backbones.language.load import load_language_model
from fewtune.backbones.precision import detect
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.tuned import TunedWriter

# Opened with the imports, as the others open what they use: the clock is for the work.
_ = transformers.AutoModelForCausalLM, transformers.LlamaForCausalLM, transformers.AutoTokenizer


def run(job: Job, watch: Stopwatch) -> tuple[Any, dict[str, Any]]:
    """The tuned model as transformers has it, and what fewtune says of the validation rows."""
    with watch("load"):
        model = load_language_model(precision="float32")
    method = LoRAWriter(
        rate=job.rate,
        rank=RANK,
        alpha=ALPHA,
        batch_size=job.batch_size,
        epochs=job.epochs,
        spare=0.0,
    )
    with watch("train"):
        fitted = fitted_on(method, material_of(job.train, model, seed=job.seed))
    assert isinstance(fitted, TunedWriter)
    with watch("evaluate"):
        costs = fitted.costs(examples_of(job.validation))
    assert fitted.log is not None
    return fitted.merged.model, {
        "own_validation_loss": float(costs.nll.sum() / costs.tokens.sum()),
        "steps": len(fitted.log.steps),
        "trainable_parameters": fitted.trainable_parameters,
        "settings": {"products": detect(), "weights": str(model.dtype).removeprefix("torch.")},
    }
