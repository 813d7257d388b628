"""Llama shapes with random weights: 16 LoRA settings in one stack, against Trainer + PEFT one after another.

python benchmarks/engine/gpu.py [--shape tiny|0.5b|1.2b|8b] [--system stacked|trainer] [--out DIR]

Without --shape and --system, all that the bars ask for: both systems on 0.5b and 1.2b (16 settings, batches of 4 texts
of 128 tokens), and on 8b a single run over packs of 4,096 tokens. Tokens are random; the weights are bfloat16, adapters
and optimiser float32, all linear layers adapted, dropout 0 in both. The first steps warm up and are not timed. The
share of the peak counts four operations a frozen weight and token (forward, and back to the inputs; the output matrix
included) and leaves attention and adapters out, so it is never flattered.

All shapes but `tiny` want a CUDA device; without one the program says so and ends.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measure import HERE, PeakMemory, machine, write_json
from torch import nn

from fewtune.backbones.layout import Layout, laid_out
from fewtune.backbones.noise import Noise
from fewtune.backbones.packed import register, use_packed_attention
from fewtune.backbones.precision import compute_precision, device
from fewtune.backbones.stacked import StackedLoRA
from fewtune.tune.bench import peak_flops
from fewtune.tune.optimiser import StackedAdamW

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"vocab": 256, "width": 64, "inner": 128, "layers": 2, "heads": 4, "kv_heads": 2},
    "0.5b": {"vocab": 151936, "width": 896, "inner": 4864, "layers": 24, "heads": 14, "kv_heads": 2},
    "1.2b": {"vocab": 128256, "width": 2048, "inner": 8192, "layers": 16, "heads": 32, "kv_heads": 8},
    "8b": {"vocab": 128256, "width": 4096, "inner": 14336, "layers": 32, "heads": 32, "kv_heads": 8},
}
SETTINGS = 16
RATES = np.geomspace(5e-5, 2e-3, SETTINGS).tolist()
RANK = 16
ALPHA = 32
TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
LENGTH = 128
BATCH = 4
PACK = 4096
WARM_STEPS = 5
CLIP = 1.0


@dataclass(frozen=True)
class Job:
    """What is trained: how many runs, how many texts each has in a step."""

    shape: str
    runs: int
    texts: int
    length: int
    steps: int

    @property
    def tokens_a_step(self) -> int:
        """Of all runs."""
        return self.runs * self.texts * self.length


def build(shape: str) -> Any:
    """A Llama with random bfloat16 weights."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = SHAPES[shape]
    config = LlamaConfig(
        vocab_size=sizes["vocab"],
        hidden_size=sizes["width"],
        intermediate_size=sizes["inner"],
        num_hidden_layers=sizes["layers"],
        num_attention_heads=sizes["heads"],
        num_key_value_heads=sizes["kv_heads"],
        max_position_embeddings=8192,
        tie_word_embeddings=shape != "8b",
        use_cache=False,
    )
    torch.manual_seed(0)
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.bfloat16)  # an 8 B model in float32 first would be 32 GB for nothing
    try:
        with device():
            model = LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return model.requires_grad_(False)


def matrix_weights(model: Any) -> int:
    """Weights of the linear layers and of the output matrix."""
    return sum(part.weight.numel() for part in model.modules() if isinstance(part, nn.Linear))


def batch(job: Job, run: int, step: int) -> np.ndarray:
    """[texts, length] the random tokens of a run's step, the same for every system."""
    rng = np.random.default_rng([run, step])
    return rng.integers(3, SHAPES[job.shape]["vocab"], (job.texts, job.length))


def next_token_losses(
    hidden_1SD: torch.Tensor, output_VD: torch.Tensor, ids_S: torch.Tensor, layout: Layout
) -> torch.Tensor:
    """[R] each run's mean cross-entropy of the next token of the same text; a text's last token predicts nothing."""
    losses = []
    is_last_S = torch.zeros(layout.tokens, dtype=torch.bool, device=ids_S.device)
    is_last_S[torch.from_numpy(layout.starts[1:] - 1).to(ids_S.device)] = True
    for _, start, end in layout.bounds:  # a run's logits at a time: all of them at once are gigabytes
        places = start + torch.nonzero(~is_last_S[start:end]).squeeze(1)
        logits_PV = nn.functional.linear(hidden_1SD[0].index_select(0, places), output_VD)
        losses.append(nn.functional.cross_entropy(logits_PV.float(), ids_S[places + 1]))
    return torch.stack(losses)


class Stacked:
    """K runs over one frozen model: adapters [K, …], one pack of all runs' texts a step."""

    def __init__(self, model: Any, rates: Sequence[float], *, rank: int = RANK) -> None:
        register()
        self.model, self.slots = model, len(rates)
        self.noise = Noise(list(range(self.slots)))
        use_packed_attention(model)
        self.adapters: list[StackedLoRA] = []
        for name, part in list(model.model.named_modules()):
            last = name.rpartition(".")[2]
            if isinstance(part, nn.Linear) and last in TARGETS:
                adapter = StackedLoRA(part, slots=self.slots, rank=rank)
                setattr(model.model.get_submodule(name.rpartition(".")[0]), last, adapter)
                self.adapters.append(adapter)
        self.optimiser = StackedAdamW([[t for a in self.adapters for t in (a.lora_A, a.lora_B)]])
        for slot, rate in enumerate(rates):
            generator = torch.Generator().manual_seed(slot)
            for adapter in self.adapters:
                adapter.enter(slot, rank=rank, scaling=ALPHA / rank, dropout=0.0, generator=generator)
            self.optimiser.enter(slot, [{"lr": rate, "weight_decay": 0.0}])
        model.train()

    def step(self, ids_KBT: np.ndarray) -> torch.Tensor:
        """[K] losses before an update on each run's texts."""
        runs, texts, length = ids_KBT.shape
        place = next(iter(self.model.parameters())).device
        layout = Layout([length] * runs * texts, runs=np.repeat(np.arange(runs), texts), noise=self.noise, device=place)
        ids_S = torch.from_numpy(ids_KBT.reshape(-1)).to(place)
        with laid_out(layout), compute_precision():
            hidden_1SD = self.model.model(
                input_ids=ids_S[None], position_ids=layout.positions_S[None], use_cache=False
            ).last_hidden_state
            losses_K = next_token_losses(hidden_1SD, self.model.lm_head.weight, ids_S, layout)
        grads = torch.autograd.grad(losses_K.sum(), self.optimiser.tensors)
        every = dict.fromkeys(range(self.slots))
        self.optimiser.step(grads, dict.fromkeys(every, 1.0), dict.fromkeys(every, CLIP))
        return losses_K.detach()


def by_stack(job: Job) -> dict[str, Any]:
    """Tokens a second of one stack of all runs."""
    model = build(job.shape)
    weights = matrix_weights(model)
    stack = Stacked(model, RATES[: job.runs])
    batches = [np.stack([batch(job, run, step) for run in range(job.runs)]) for step in range(job.steps + WARM_STEPS)]
    first, *_ = [stack.step(ids) for ids in batches[:WARM_STEPS]]
    finished()
    started = time.perf_counter()
    last = [stack.step(ids) for ids in batches[WARM_STEPS:]][-1]
    finished()
    seconds = time.perf_counter() - started
    return figures(job, seconds, job.tokens_a_step * job.steps, weights, first.mean(), last.mean())


def by_trainer(job: Job, peer_runs: int) -> dict[str, Any]:
    """Tokens a second of Trainer + PEFT, one run after another; the model is built once, each run's adapters anew."""
    from peft import LoraConfig, get_peft_model
    from transformers import Trainer, TrainerCallback, TrainingArguments
    from transformers.utils import logging

    logging.set_verbosity_error()
    model = build(job.shape)
    weights = matrix_weights(model)
    seconds, losses = 0.0, []

    class Clock(TrainerCallback):
        """Starts after the steps that warm up."""

        started = 0.0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == WARM_STEPS:
                finished()
                self.started = time.perf_counter()

    for run in range(peer_runs):
        config = LoraConfig(
            r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=list(TARGETS), task_type="CAUSAL_LM"
        )
        adapted = get_peft_model(model, config)
        rows = np.concatenate([batch(job, run, step) for step in range(job.steps + WARM_STEPS)])
        texts = [{"input_ids": torch.from_numpy(row), "labels": torch.from_numpy(row)} for row in rows]
        clock = Clock()
        with tempfile.TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder,
                max_steps=job.steps + WARM_STEPS,
                per_device_train_batch_size=job.texts,
                learning_rate=RATES[run],
                lr_scheduler_type="constant",
                max_grad_norm=CLIP,
                bf16=True,
                use_cpu=not torch.cuda.is_available(),
                train_sampling_strategy="sequential",
                report_to=[],
                save_strategy="no",
                logging_strategy="no",
                disable_tqdm=True,
            )
            trainer = Trainer(adapted, arguments, train_dataset=texts, callbacks=[clock])
            losses.append(trainer.train().training_loss)
        finished()
        seconds += time.perf_counter() - clock.started
        model = adapted.unload()
    tokens = job.texts * job.length * job.steps * peer_runs
    return figures(job, seconds, tokens, weights, losses[0], losses[-1]) | {"runs_done": peer_runs}


def figures(job: Job, seconds: float, tokens: int, weights: int, first: Any, last: Any) -> dict[str, Any]:
    """What is reported of a system."""
    peak = peak_flops(1.0)
    rate = tokens / seconds
    on_gpu = torch.cuda.is_available()
    return {
        "seconds": round(seconds, 3),
        "tokens_per_second": round(rate, 1),
        "matrix_weights": weights,
        "peak_tflops": round(peak / 1e12, 3),
        "share_of_peak": round(rate * 4 * weights / peak, 4),
        "first_loss": round(float(first), 4),
        "last_loss": round(float(last), 4),
        "peak_gpu_memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 2) if on_gpu else None,
    }


def finished() -> None:
    """Wait for the GPU."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def refuse(shape: str) -> str | None:
    """Why a shape cannot be measured here; None where it can."""
    if shape == "tiny":
        return None
    if not torch.cuda.is_available():
        return f"the shape {shape} wants a CUDA device, and there is none here. --shape tiny runs on a CPU."
    if not torch.cuda.is_bf16_supported():
        return f"{torch.cuda.get_device_name()} has no bfloat16."
    need = 2 * {"0.5b": 12, "1.2b": 24, "8b": 36}[shape]
    have = torch.cuda.get_device_properties(0).total_memory / 2**30
    return None if have > need else f"the shape {shape} wants {need} GiB of GPU memory; here are {have:.0f}."


def job_for(shape: str, steps: int | None) -> Job:
    """What the bars ask of a shape."""
    if shape == "tiny":
        return Job(shape, runs=4, texts=2, length=16, steps=steps or 3)
    if shape == "8b":
        return Job(shape, runs=1, texts=PACK // LENGTH, length=LENGTH, steps=steps or 20)
    return Job(shape, runs=SETTINGS, texts=BATCH, length=LENGTH, steps=steps or 40)


def measure(shape: str, system: str, steps: int | None, peer_runs: int) -> dict[str, Any]:
    """One system on one shape, in this process."""
    job = job_for(shape, steps)
    with PeakMemory() as memory:
        found = by_stack(job) if system == "stacked" else by_trainer(job, min(peer_runs, job.runs))
    return {"shape": shape, "system": system, **vars(job), **found, "peak_memory_gib": memory.gib, "about": machine()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES)
    parser.add_argument("--system", choices=("stacked", "trainer"))
    parser.add_argument("--steps", type=int)
    parser.add_argument("--peer-runs", type=int, default=4, help="of the 16 settings; they all cost the same")
    parser.add_argument("--out", type=Path, default=HERE / "results")
    options = parser.parse_args()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    shapes = [options.shape] if options.shape else ["0.5b", "1.2b", "8b"]
    reasons = [reason for shape in shapes if (reason := refuse(shape))]
    if reasons:
        print(f"refused: {reasons[0]}", file=sys.stderr)
        raise SystemExit(2 if options.shape else 0)
    systems = [options.system] if options.system else ["stacked", "trainer"]
    if len(shapes) * len(systems) > 1:  # each in a fresh process: memory of one must not weigh on the next
        import subprocess

        for shape in shapes:
            for system in systems:
                passed = [*sys.argv[1:], *(() if options.shape else ("--shape", shape)), "--system", system]
                subprocess.run([sys.executable, __file__, *passed], check=True)
        return
    found = measure(shapes[0], systems[0], options.steps, options.peer_runs)
    write_json(options.out / f"gpu-{found['shape']}-{found['system']}.json", found)
    print(
        f"{found['shape']} {found['system']}: {found['tokens_per_second']:,.0f} tokens a second, "
        f"{found['share_of_peak']:.1%} of {found['peak_tflops']:,.1f} TFLOP/s"
    )


if __name__ == "__main__":
    main()
