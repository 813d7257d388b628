"""The grid by Hugging Face Trainer and PEFT, one run after another, as their documentation shows it.

Given what helps them: rows tokenised once, padding to the longest of a batch, no checkpoints, no evaluation or logging
on the way, the backbone read from disk once and copied, the fused optimiser, larger batches for prediction.
"""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from grid import ALPHA, BATCH_SIZE, CLIP, RANK, TARGETS, WARMUP, WEIGHT_DECAY, Cell, Grid
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)
from transformers.utils import logging

from fewtune.backbones.load import default_folder

PREDICTION_BATCH = 64


class MeanPooled(nn.Module):
    """Mean of the tokens, dropout and a linear layer: what this backbone was trained to be read by."""

    def __init__(self, body: Any, classes: int) -> None:
        super().__init__()
        self.config, self.body = body.config, body
        self.dropout = nn.Dropout(body.config.hidden_dropout_prob)
        self.classifier = nn.Linear(body.config.hidden_size, classes)

    def forward(
        self, input_ids: Any = None, attention_mask: Any = None, token_type_ids: Any = None, labels: Any = None
    ) -> dict[str, torch.Tensor]:
        states = self.body(input_ids, attention_mask, token_type_ids).last_hidden_state
        mask = attention_mask.unsqueeze(-1).to(states.dtype)
        logits = self.classifier(self.dropout((states * mask).sum(1) / mask.sum(1)))
        if labels is None:
            return {"logits": logits}
        return {"loss": nn.functional.cross_entropy(logits, labels), "logits": logits}


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised rows."""

    def __init__(self, encoded: Any, codes: Any, rows: Any) -> None:
        self.encoded, self.codes, self.rows = encoded, codes, rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, place: int) -> dict[str, Any]:
        row = int(self.rows[place])
        return {name: values[row] for name, values in self.encoded.items()} | {"labels": int(self.codes[row])}


def fresh(head: str, body: Any, classes: int, layers: int, dropout: float) -> Any:
    """A new model with adapters; `body` is copied."""
    if head == "plain":
        model = AutoModelForSequenceClassification.from_pretrained(default_folder(), num_labels=classes)
        task = "SEQ_CLS"
    else:
        model, task = MeanPooled(copy.deepcopy(body), classes), None
    last = int(body.config.num_hidden_layers)
    config = LoraConfig(
        r=RANK,
        lora_alpha=ALPHA,
        lora_dropout=dropout,
        target_modules=list(TARGETS),
        layers_to_transform=list(range(last - layers, last)),
        modules_to_save=["classifier"],
        task_type=task,
    )
    return get_peft_model(model, config)


def arguments(cell: Cell, folder: str, *, bf16: bool, grouped: bool) -> TrainingArguments:
    """Trainer's settings for a run."""
    return TrainingArguments(
        folder,
        max_steps=cell.steps,
        per_device_train_batch_size=BATCH_SIZE,
        per_device_eval_batch_size=PREDICTION_BATCH,
        learning_rate=cell.setting.rate,
        weight_decay=WEIGHT_DECAY,
        warmup_steps=max(1, round(WARMUP * cell.steps)),
        lr_scheduler_type="linear",
        max_grad_norm=CLIP,
        bf16=bf16,
        use_cpu=not torch.cuda.is_available(),
        train_sampling_strategy="group_by_length" if grouped else "random",
        seed=cell.seed,
        report_to=[],
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
        label_names=["labels"],
    )


def run(
    grid: Grid, cells: Sequence[Cell], *, bf16: bool, grouped: bool = False, head: str = "mean"
) -> Iterator[tuple[Cell, np.ndarray, float, dict[str, Any]]]:
    """Each run's held-out probabilities, one after another."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    folder = default_folder()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    body = AutoModel.from_pretrained(folder)
    encoded = tokenizer(grid.texts, truncation=True, max_length=256)
    codes = grid.codes
    collator = DataCollatorWithPadding(tokenizer)
    for cell in cells:
        started = time.perf_counter()
        torch.manual_seed(cell.seed)
        model = fresh(head, body, len(grid.classes), grid.layers, cell.setting.lora_dropout)
        with tempfile.TemporaryDirectory() as place:
            trainer = Trainer(
                model,
                arguments(cell, place, bf16=bf16, grouped=grouped),
                data_collator=collator,
                train_dataset=Rows(encoded, codes, cell.train),
            )
            trained = trainer.train()
            logits = trainer.predict(Rows(encoded, codes, cell.test)).predictions
        probs_BC = torch.from_numpy(np.asarray(logits)).float().softmax(-1).numpy()
        more = {
            "steps_done": int(trained.global_step),
            "mean_loss": round(float(trained.training_loss), 4),
            "trainable_parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        }
        yield cell, probs_BC, time.perf_counter() - started, more
