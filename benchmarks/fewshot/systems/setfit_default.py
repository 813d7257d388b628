"""SetFit from PyPI at its defaults, `num_iterations=20`: the peer the bars are stated against."""

from __future__ import annotations

import tempfile
import time
import warnings
from pathlib import Path

NAME = "setfit"


def run(
    train: tuple[list[str], list[str]], test_texts: list[str], backbone: Path, seed: int, pool: list[str] | None = None
) -> tuple[list[str], float]:
    """Fit on `train`, predict `test_texts`; returns the labels and the seconds of the fit alone."""
    del pool
    warnings.filterwarnings("ignore")
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    texts, labels = train
    classes = sorted(set(labels))
    dataset = Dataset.from_dict({"text": texts, "label": [classes.index(name) for name in labels]})
    started = time.perf_counter()
    model = SetFitModel.from_pretrained(str(backbone), labels=classes)
    with tempfile.TemporaryDirectory() as checkpoints:
        arguments = TrainingArguments(
            output_dir=checkpoints, num_iterations=20, seed=seed, report_to="none", show_progress_bar=False
        )
        Trainer(model=model, args=arguments, train_dataset=dataset).train()
    seconds = time.perf_counter() - started
    predicted = model.predict(test_texts, show_progress_bar=False)
    return [str(label) for label in predicted], seconds
