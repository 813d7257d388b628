"""Train the starter: a Llama-type model, with bf16 arithmetic and float32 weights, killable at any moment.

    python starter/corpus.py && python starter/tokenizer.py
    python starter/pretrain.py                  trains on at a constant rate until it is stopped (Ctrl-C, kill)
    python starter/pretrain.py --decay 300      300 more steps from the last checkpoint, the rate falling to nothing
    python starter/pretrain.py --decay 300 --by 03:45     the same, the steps fitted to the clock as the machine allows
    python starter/pretrain.py --again          trains on from the end of a decay, at the full rate
    python starter/export.py                    the weights in bf16, into the package

Warm-up, stable, decay: training can be ended from any checkpoint by a decay, and taken up again later from the last
checkpoint before it, or from its end. Settings are in settings.json. A run's folder holds checkpoints and log.jsonl (a
line: step, tokens, loss in nats a token, seconds). Ctrl-C and `kill` end it after the step under way, with a
checkpoint; after `kill -9` the same command goes on from the last one. On a CPU each core computes micro-batches of
its own.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import torch
from safetensors.numpy import load_file, save_file

import attention
import checkpoint
from blocks import BLOCK, NO_TARGET, Blocks, Tokens, encode, windows
from loss import cross_entropy

ROOT = Path(__file__).parent
BUILD = ROOT / "build"
LOG_EVERY = 10
FINISH_BELOW = 0.3
"""Share of the full rate under which the last stage, with its longer windows, begins."""


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the starter.")
    parser.add_argument("--build", type=Path, default=BUILD, help="where corpus/ and model/ lie and run/ is written")
    parser.add_argument("--settings", type=Path, default=ROOT / "settings.json")
    parser.add_argument("--steps", type=int, help="stop at this step, without a decay")
    parser.add_argument("--decay", type=int, help="this many more steps, the rate falling to nothing")
    parser.add_argument(
        "--by", type=_clock, help="with --decay: end at this time (UTC, HH:MM) with more or fewer steps"
    )
    parser.add_argument("--again", action="store_true", help="from the end of the last decay, at the full rate again")
    given = parser.parse_args()
    torch.set_num_threads(max(1, len(_cores())))
    settings = json.loads(given.settings.read_text(encoding="utf-8"))
    train, validation = token_rows(given.build, "train"), token_rows(given.build, "validation")
    runs = {"stable": given.build / "run", "decay": given.build / "run-decay"}
    training = Training(settings, train, validation, runs["decay" if given.decay else "stable"])
    if given.decay and not under_way(runs["decay"], runs["stable"]):
        training.resume(runs["stable"])
        training.state.plan_decay(given.decay)
    else:
        training.resume(runs["decay"] if given.again else training.folder)
    if given.again:
        training.state.warm_up_again()
        take_up_log(runs["decay"], runs["stable"])
    for asked in (signal.SIGINT, signal.SIGTERM):
        signal.signal(asked, training.stop)
    training.run(until=given.steps, by=given.by)


def under_way(decay: Path, stable: Path) -> bool:
    """Whether the decay has a checkpoint of its own that is later than the stable run it began from."""
    last = [checkpoint.steps(run)[-1:] for run in (decay, stable)]
    return bool(last[0]) and (not last[1] or last[0][0].name > last[1][0].name)


def take_up_log(decay: Path, stable: Path) -> None:
    """The lines of a decay that the stable run goes on from become its own; the next decay begins a log anew."""
    log = decay / "log.jsonl"
    if log.exists():
        with (stable / "log.jsonl").open("a", encoding="utf-8") as kept:
            kept.write(log.read_text(encoding="utf-8"))
        log.unlink()


def token_rows(build: Path, part: str) -> dict[str, Tokens]:
    """The tokens of a part, encoded once and kept."""
    kept = build / f"tokens-{part}.safetensors"
    if not kept.exists():
        from transformers import AutoTokenizer

        tokenizer = AutoTokenizer.from_pretrained(build / "model")
        save_file(encode(build / "corpus" / f"{part}.jsonl", tokenizer), kept)
    return load_file(kept)


def new_model(settings: Mapping[str, Any], vocabulary: int = 8_192) -> Any:
    """The untrained model in float32; a layer's last matrices begin at nothing, so each layer begins as no change."""
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=vocabulary,
        tie_word_embeddings=True,
        initializer_range=0.02,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        attn_implementation=attention.register(),
        **settings["model"],
    )
    torch.manual_seed(settings["seed"])
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


def workers(settings: Mapping[str, Any], device: str) -> int:
    """How many micro-batches are computed at once: one a core, as products of this size gain little from two."""
    micro_batches = -(-settings["blocks_a_step"] // settings["blocks_a_micro_batch"])
    return max(1, min(len(_cores()), micro_batches)) if device == "cpu" else 1


def twin(model: Any) -> Any:
    """The same weights, the very tensors, with gradients of their own."""
    found = copy.deepcopy(model)
    for own, shared in zip(found.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return found


@dataclass
class State:
    """What a run knows beside its tensors."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    decay_from: int | None = None
    decay_steps: int = 0
    decay_share: float = 1.0
    """The share of the full rate that the decay sets out from."""
    warm_from: int = 0
    """The step the warm-up began at."""
    drawn: dict[str, int] = field(default_factory=dict)

    @property
    def stage(self) -> str:
        """`stable`, `decay`, or `finish`: the last part of the decay."""
        if self.decay_from is None:
            return "stable"
        return "finish" if self.rate(warmup=1) < FINISH_BELOW else "decay"

    def rate(self, warmup: int) -> float:
        """The share of the full learning rate at this step: a linear warm-up, a plateau, a linear decay."""
        if self.decay_from is None:
            return min(1.0, (self.step - self.warm_from + 1) / warmup)
        return self.decay_share * max(0.0, 1 - (self.step - self.decay_from) / max(1, self.decay_steps))

    def plan_decay(self, steps: int) -> None:
        """From the rate of this step to nothing in so many steps; one under way is stretched, shortened or ended."""
        self.decay_share = self.rate(warmup=1)
        self.decay_from, self.decay_steps = self.step, max(0, steps)

    def warm_up_again(self) -> None:
        """Leave a decay: the rate rises to its full height again."""
        self.decay_from, self.decay_share, self.warm_from = None, 1.0, self.step

    @property
    def done(self) -> bool:
        return self.decay_from is not None and self.step >= self.decay_from + self.decay_steps


class Training:
    """Model, float32 weights, optimisers, text and state of one run.

    The model computes in bf16; the optimisers change the float32 weights, which are then rounded into the model again.
    Matrices are trained by Muon (Jordan et al. 2024), embeddings and norms by AdamW.
    """

    def __init__(
        self, settings: Mapping[str, Any], train: Mapping[str, Tokens], validation: Mapping[str, Tokens], folder: Path
    ) -> None:
        self.settings, self.folder, self.state = settings, folder, State()
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        model = new_model(settings)
        named = dict(model.named_parameters())
        self.weights = {name: torch.nn.Parameter(p.detach().to(self.device).clone()) for name, p in named.items()}
        self.model = model.to(self.device, torch.bfloat16)
        self.twins = [self.model, *(twin(self.model) for _ in range(1, workers(settings, self.device)))]
        # A thread of its own has its own count of arithmetic threads; the optimisers keep what the process has.
        self.threads = ThreadPoolExecutor(len(self.twins), initializer=torch.set_num_threads, initargs=(1,))
        self.blocks = Blocks(train, settings["seed"])
        source = "children" if "children" in validation else next(iter(validation))
        self.validation = Blocks({source: validation[source]}, 0).draw(0, settings["validation_blocks"], {source: 1.0})
        self.optimisers = self._optimisers()
        self.stopped = False
        """Whether to end after the step under way."""

    def stop(self, *_: Any) -> None:
        """End after the step under way, with a checkpoint: what a signal calls."""
        self.stopped = True

    def _optimisers(self) -> dict[str, torch.optim.Optimizer]:
        settings = self.settings
        matrices = [p for name, p in self.weights.items() if p.ndim == 2 and "embed" not in name]
        others = [p for name, p in self.weights.items() if p.ndim != 2 or "embed" in name]
        muon = torch.optim.Muon(
            matrices,
            lr=settings["matrix_rate"],
            momentum=settings["matrix_momentum"],
            weight_decay=settings["matrix_weight_decay"],
        )
        adamw = torch.optim.AdamW(others, lr=settings["other_rate"], betas=(0.9, 0.95), eps=1e-10, weight_decay=0.0)
        return {"matrices": muon, "others": adamw}

    def resume(self, folder: Path) -> None:
        """Go on from the last checkpoint of a folder, if there is one."""
        for found in checkpoint.steps(folder)[-1:]:
            weights, moments, state = checkpoint.load(found)
            with torch.no_grad():
                for name, weight in self.weights.items():
                    weight.copy_(weights[name])
            checkpoint.restore(self.optimisers, moments)
            self.state = State(**state)
            self.blocks.drawn.update(self.state.drawn)
            self._round_into_model()

    def run(self, until: int | None = None, by: float | None = None) -> None:
        """Train until the decay's end, until a step, or until stopped; with `by`, a decay is fitted to end then."""
        losses: list[float] = []
        saved, saved_step = time.monotonic(), self.state.step
        while not (self.stopped or self.state.done or self.state.step == until):
            losses.append(self.step())
            if self.state.step % LOG_EVERY == 0:
                self._log(loss=sum(losses) / len(losses))
                losses = []
            if (since := time.monotonic() - saved) > 60 * self.settings["checkpoint_minutes"]:
                if by is not None:
                    self.state.plan_decay(int((by - time.time()) * (self.state.step - saved_step) / since))
                self.save()
                saved, saved_step = time.monotonic(), self.state.step
        self.save()

    def step(self) -> float:
        """One step: draw, forward, loss, backward, clip, update; the mean loss in nats a token."""
        began, cpu = time.monotonic(), time.process_time()
        stage = self.settings["stages"][self.state.stage]
        blocks_BT = self.blocks.draw(self.state.step, self.settings["blocks_a_step"], stage["mix"])
        size, total, asked = self.settings["blocks_a_micro_batch"], 0.0, 0
        micro_batches = [blocks_BT[start : start + size] for start in range(0, len(blocks_BT), size)]
        for start in range(0, len(micro_batches), len(self.twins)):
            loss, targets = self._together(micro_batches[start : start + len(self.twins)], stage["window"])
            total, asked = total + loss, asked + targets
        for weight in self.weights.values():
            assert weight.grad is not None
            weight.grad /= asked
        torch.nn.utils.clip_grad_norm_(self.weights.values(), self.settings["clip"])
        self._update()
        self.state.step += 1
        self.state.tokens += blocks_BT.shape[0] * BLOCK
        self.state.seconds += time.monotonic() - began
        self.state.cpu_seconds += time.process_time() - cpu
        return total / asked

    def _together(self, micro_batches: list[Tokens], window: int) -> tuple[float, int]:
        """A micro-batch on each twin, one a thread; gradients are added in the same order whatever thread is first."""
        used = self.twins[: len(micro_batches)]
        found = list(self.threads.map(self._micro_batch, used, micro_batches, [window] * len(used)))
        for model in used:
            for name, parameter in model.named_parameters():
                weight, grad = self.weights[name], parameter.grad.float()
                weight.grad = grad if weight.grad is None else weight.grad.add_(grad)
                parameter.grad = None
        return sum(loss for loss, _ in found), sum(targets for _, targets in found)

    def _micro_batch(self, model: Any, blocks_BT: Tokens, window: int) -> tuple[float, int]:
        """The summed loss, and of how many targets; the gradients lie in the model after it."""
        inputs, targets = (torch.from_numpy(part).to(self.device) for part in windows(blocks_BT, window))
        hidden = model.model(input_ids=inputs, use_cache=False).last_hidden_state
        asked = targets.flatten() != NO_TARGET
        loss = cross_entropy(hidden.flatten(0, 1)[asked], model.lm_head.weight, targets.flatten()[asked])
        loss.backward()
        return float(loss.detach()), int(asked.sum())

    def _update(self) -> None:
        share = self.state.rate(self.settings["warmup_steps"])
        for kind, optimiser in self.optimisers.items():
            optimiser.param_groups[0]["lr"] = (
                share * self.settings["matrix_rate" if kind == "matrices" else "other_rate"]
            )
            optimiser.step()
            optimiser.zero_grad()
        self._round_into_model()

    def _round_into_model(self) -> None:
        with torch.no_grad():
            for name, parameter in self.model.named_parameters():
                parameter.copy_(self.weights[name])

    @torch.no_grad()
    def validate(self) -> float:
        """Nats a token on the same few blocks of the validation books each time."""
        total = 0.0
        for start in range(0, len(self.validation), 8):
            inputs, targets = (
                torch.from_numpy(part).to(self.device) for part in windows(self.validation[start : start + 8], BLOCK)
            )
            hidden = self.model.model(input_ids=inputs, use_cache=False).last_hidden_state
            total += float(cross_entropy(hidden.flatten(0, 1), self.model.lm_head.weight, targets.flatten()))
        return total / (len(self.validation) * BLOCK)

    def save(self) -> None:
        """Validate, log, and write a checkpoint."""
        self._log(validation_loss=self.validate())
        self.state.drawn = dict(self.blocks.drawn)
        moments = checkpoint.moments(self.optimisers)
        checkpoint.save(self.folder, self.state.step, self.weights, moments, vars(self.state))

    def _log(self, **values: float) -> None:
        state = self.state
        line = {
            "step": state.step,
            "stage": state.stage,
            "rate": round(state.rate(self.settings["warmup_steps"]), 4),
            **{name: round(value, 4) for name, value in values.items()},
            "tokens": state.tokens,
            "seconds": round(state.seconds, 1),
            "cpu_seconds": round(state.cpu_seconds, 1),
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")


def _clock(text: str) -> float:
    """The next time the clock shows HH:MM, in seconds since 1970."""
    hours, minutes = map(int, text.split(":"))
    now = datetime.now(UTC)
    then = now.replace(hour=hours, minute=minutes, second=0, microsecond=0)
    return (then if then > now else then + timedelta(days=1)).timestamp()


def _cores() -> set[int]:
    return os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))


if __name__ == "__main__":
    main()
