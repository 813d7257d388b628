"""LoRA by TRL's SFTTrainer and PEFT, as their documentation has it.

Given what helps it: no gradient checkpointing (its default, which costs a second forward pass), no saving or logging on
the way, the fused optimiser, larger batches for evaluation, the same batches in the same order as everybody.
"""

from __future__ import annotations

import tempfile
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig
from sft import ALPHA, CLIP, RANK, WARMUP, Job, Stopwatch, batches
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging
from trl import SFTConfig, SFTTrainer

EVALUATION_BATCH = 32


class Ordered(SFTTrainer):
    """Takes the rows in a given order."""

    order: list[int]

    def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
        return self.order


def chats(rows: list[dict[str, str]]) -> Dataset:
    """Prompts and completions as TRL has them for a model with a chat template."""
    return Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": row["prompt"]}],
                "completion": [{"role": "assistant", "content": row["completion"]}],
            }
            for row in rows
        ]
    )


@torch.no_grad()
def begin_alike(model: Any, seed: int) -> None:
    """The first weights that fewtune draws, from PEFT's own distribution, so that chance is the same for all."""
    generator = torch.Generator().manual_seed(seed)
    for name, weight in model.named_parameters():
        if "lora_A" in name:
            bound = weight.shape[1] ** -0.5
            weight.copy_(torch.empty(weight.shape).uniform_(-bound, bound, generator=generator))


def run(job: Job, watch: Stopwatch, *, bf16: bool, weights: str, checkpointing: bool) -> tuple[Any, dict[str, Any]]:
    """The tuned model, its adapter merged, and what TRL says of the validation rows."""
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    from datasets import disable_progress_bars

    disable_progress_bars()
    with watch("load"):
        model = AutoModelForCausalLM.from_pretrained(job.folder, dtype=getattr(torch, weights))
        tokenizer = AutoTokenizer.from_pretrained(job.folder)
    order = [row for batch in batches(job) for row in batch]
    with tempfile.TemporaryDirectory() as folder, watch("train"):
        settings = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=job.batch_size,
            per_device_eval_batch_size=EVALUATION_BATCH,
            max_steps=job.steps,
            learning_rate=job.rate,
            lr_scheduler_type="linear",
            warmup_steps=round(WARMUP * job.steps),
            weight_decay=0.0,
            max_grad_norm=CLIP,
            adam_beta2=0.999,
            completion_only_loss=True,
            bf16=bf16,
            gradient_checkpointing=checkpointing,
            use_cpu=True,
            seed=job.seed,
            save_strategy="no",
            logging_strategy="no",
            eval_strategy="no",
            report_to="none",
            disable_tqdm=True,
            max_length=512,
        )
        adapters = LoraConfig(
            r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules="all-linear", task_type="CAUSAL_LM"
        )
        trainer = Ordered(
            model=model,
            args=settings,
            train_dataset=chats(job.train),
            eval_dataset=chats(job.validation),
            processing_class=tokenizer,
            peft_config=adapters,
        )
        begin_alike(trainer.model, job.seed)
        trainer.order = order
        trainer.train()
    with watch("evaluate"):
        said = trainer.evaluate()
    counted = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    whole = trainer.model.float().merge_and_unload()
    about = {"bf16": bf16, "weights": weights, "gradient_checkpointing": checkpointing, "optim": str(settings.optim)}
    return whole, {
        "own_validation_loss": float(said["eval_loss"]),
        "steps": int(trainer.state.global_step),
        "trainable_parameters": counted,
        "settings": about,
    }
