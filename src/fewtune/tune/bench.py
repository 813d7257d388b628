"""The figures of this machine: how fast runs are trained alone, side by side and stacked, and what binds them.

Everything is measured on the real path: the same executors, the same loop, LoRA on the top layers of a backbone, on
made-up rows. What comes out is for choosing how to carry out plans, and for seeing how far the machine is used.

Legend: S steps of a run.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from fewtune.backbones.body import Body
from fewtune.backbones.layers import layer_list
from fewtune.backbones.precision import detect, device
from fewtune.data.base import Dataset, Example
from fewtune.methods.lora import LoRA
from fewtune.recipe import Recipe
from fewtune.tune.executors.base import Executor
from fewtune.tune.executors.forked import ForkedExecutor, can_fork, usable_cores
from fewtune.tune.executors.serial import SerialExecutor
from fewtune.tune.executors.stacked import StackedExecutor
from fewtune.tune.run import Context, Run

if TYPE_CHECKING:
    from fewtune.backbones.encoder import Encoder

SECONDS = 3.0
"""How long each way of carrying out runs is measured, about."""
QUICK_SECONDS = 0.8
PEAK_SIZES = {"cuda": (4096, 8192), "cpu": (512, 1024, 2048)}
"""Square matrices whose product shows what a device can do."""
STACKS = {"cpu": (2, 4, 8), "cuda": (2, 4, 8, 16, 32)}
FEW_STEPS = 2
FORWARD_TEXTS = 256
"""As many as a small dataset has: a single batch is too small for several threads, and no fit reads one alone."""
LOOKS = ("query", "key", "value", "q_proj", "k_proj", "v_proj", "q_lin", "k_lin", "v_lin", "Wqkv", "c_attn")
"""What architectures call the matrices that read a layer's input."""
ROWS_A_CLASS = 24
TOPICS = {
    "delivery": "parcel courier driver address doorstep tracking late shipped warehouse route",
    "payment": "invoice card charged refund bank amount statement fee declined receipt",
    "account": "password login email profile locked username reset verify settings code",
    "product": "screen battery broken cable manual warranty button noise model spare",
}
COMMON = "the my a is was not and again please since yesterday why when how can you it still this for with to of on"


@dataclass(frozen=True)
class Way:
    """One way to carry out runs, and how fast it was."""

    processes: int
    threads: int
    slots: int
    """K, runs trained in one step of a process; 1 is a run alone."""
    tokens_per_second: float
    """Of training steps, all runs together; what a run costs before its first step is not in it."""
    steps_per_second: float
    """All runs together."""

    @property
    def title(self) -> str:
        """What a person reads."""
        how = "a run alone" if self.processes * self.slots == 1 else f"{self.processes * self.slots} runs"
        if self.slots > 1:
            how = f"{self.slots} stacked"
        elif self.processes > 1:
            how = f"{self.processes} side by side"
        return f"{how}, {self.threads} thread{'s' if self.threads > 1 else ''}{' each' if self.processes > 1 else ''}"


@dataclass(frozen=True)
class Figures:
    """What was measured."""

    backbone: str
    device: str
    precision: str
    cores: int
    batch_size: int
    tokens_a_text: float
    peak_flops: float
    """Fastest matrix product of this machine in this format, operations a second, all cores at it."""
    forward_tokens_per_second: float
    """Of the frozen backbone, whole, reading texts as a fit first does: all of them at once, on every core."""
    forward_texts: int
    """How many texts it read for that."""
    cache_gain: float
    """How many times as long a step of a run alone would take if the frozen layers were computed again."""
    flops_a_token: float
    """Of training, in the layers that are not cached."""
    ways: tuple[Way, ...] = field(default=())
    notes: tuple[str, ...] = field(default=())

    @property
    def best(self) -> Way:
        """The fastest way."""
        return max(self.ways, key=lambda way: way.tokens_per_second)

    @property
    def alone(self) -> Way:
        """The fastest way to train one run."""
        lone = [way for way in self.ways if way.processes * way.slots == 1]
        return max(lone, key=lambda way: way.tokens_per_second)

    @property
    def best_slots(self) -> int:
        """K of the fastest stack, 1 where no stack beats a run alone."""
        here = [way for way in self.ways if way.processes == 1]
        return max(here, key=lambda way: way.tokens_per_second).slots

    def share(self, way: Way) -> float:
        """Of the matrix peak that a way reaches."""
        return way.tokens_per_second * self.flops_a_token / self.peak_flops

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        ways = [asdict(way) | {"title": way.title, "share_of_peak": self.share(way)} for way in self.ways]
        best = {"title": self.best.title, **{key: asdict(self.best)[key] for key in ("processes", "threads", "slots")}}
        return asdict(self) | {"ways": ways, "notes": list(self.notes), "best": best, "best_slots": self.best_slots}


def measure(encoder: Encoder, *, seconds: float = SECONDS, told: Callable[[str], None] | None = None) -> Figures:
    """Measure this machine with `encoder`.

    Parameters
    ----------
    seconds : how long each way of carrying out runs is measured, about.
    told : called with a few words before each measurement; there are `len(plans())` + 2 of them.
    """
    say = told or (lambda _: None)
    say("matrix peak")
    with _threads(usable_cores()):
        peak = peak_flops(seconds / 3)
    say("frozen backbone")
    with _threads(usable_cores()):  # a fit reads its texts before it shares out its runs
        forward = forward_rate(encoder, seconds / 3)
    context = Context(made_up_rows(), {"default": encoder})
    tokens = _mean_tokens(context)
    method = _method(encoder, 1)
    ways, notes = [], []
    for plan in plans(encoder):
        say(plan.words)
        try:
            ways.append(_timed(plan, context, encoder, seconds))
        except (MemoryError, torch.OutOfMemoryError):
            notes.append(f"{plan.words}: not enough memory")
    if encoder.first_position is None:
        notes.append(f"{encoder.name} cannot be packed: nothing is stacked")
    alone = max((way for way in ways if way.processes * way.slots == 1), key=lambda way: way.tokens_per_second)
    with _threads(alone.threads):  # on as many as the step it is held against
        frozen = _frozen_seconds(encoder, context, method, seconds / 3)
    return Figures(
        backbone=encoder.name,
        device=str(encoder.device),
        precision=detect(),
        cores=usable_cores(),
        batch_size=method.batch_size,
        tokens_a_text=round(tokens, 1),
        peak_flops=peak,
        forward_tokens_per_second=forward,
        forward_texts=FORWARD_TEXTS,
        cache_gain=1 + frozen * alone.steps_per_second,
        flops_a_token=flops_a_token(encoder, method),
        ways=tuple(ways),
        notes=tuple(notes),
    )


@dataclass(frozen=True)
class Plan:
    """A way that is to be measured."""

    processes: int
    threads: int
    slots: int

    @property
    def words(self) -> str:
        """For a progress bar."""
        return Way(self.processes, self.threads, self.slots, 0.0, 0.0).title

    def executor(self) -> Executor:
        """Who carries out runs this way."""
        if self.slots > 1:
            return StackedExecutor(self.slots)
        return ForkedExecutor(self.processes) if self.processes > 1 else SerialExecutor()


def plans(encoder: Encoder) -> list[Plan]:
    """Ways that make sense on this machine, the plainest first."""
    cores = usable_cores()
    found = [Plan(1, 1, 1)]
    if cores > 1:
        found.append(Plan(1, cores, 1))
        if can_fork():
            found.append(Plan(cores, 1, 1))
    if encoder.first_position is not None:
        found += [Plan(1, cores, slots) for slots in STACKS.get(device().type, STACKS["cpu"])]
    return found


def _timed(plan: Plan, context: Context, encoder: Encoder, seconds: float) -> Way:
    """What further steps cost: the time of many steps less that of a few."""
    with _threads(plan.threads):
        first = min(_seconds(plan, context, encoder, FEW_STEPS) for _ in range(2))
        steps, spent = FEW_STEPS, first
        while steps == FEW_STEPS or (spent - first < 0.5 * seconds and spent < 2 * seconds):
            more = (steps - FEW_STEPS) * seconds / max(spent - first, 1e-9)
            steps = FEW_STEPS + round(min(max(more, 4), 8 * steps))
            spent = _seconds(plan, context, encoder, steps)
    # What comes before the first step is rarely more than nearly all of it: a noisy difference may not say so.
    a_step = max((spent - first) / (steps - FEW_STEPS), 0.1 * spent / steps)
    rate = plan.processes * plan.slots / a_step
    tokens = _mean_tokens(context) * _method(encoder, 1).batch_size
    return Way(plan.processes, plan.threads, plan.slots, rate * tokens, rate)


def _seconds(plan: Plan, context: Context, encoder: Encoder, steps: int) -> float:
    runs = plan.processes * plan.slots
    rows = np.arange(len(context.dataset), dtype=np.int64)
    recipe = Recipe(_method(encoder, steps))
    todo = [Run(recipe, rows, rows[:0], seed) for seed in range(runs)]
    executor = plan.executor()
    recipe.method.warm(encoder, context.texts(recipe))
    started = time.perf_counter()
    for _ in executor.execute(todo, context):
        pass
    return time.perf_counter() - started


def _method(encoder: Encoder, steps: int) -> LoRA:
    layers = layer_list(encoder.model)
    top = 2 if layers is None else min(2, max(1, len(layers) - 1))
    return LoRA(layers=top, least_steps=steps, most_steps=steps, strengths=(10.0,))


def _mean_tokens(context: Context) -> float:
    return float(np.mean([len(ids) for ids in context.encoders["default"].tokens(context.dataset.texts)]))


def made_up_rows(count: int = ROWS_A_CLASS * len(TOPICS)) -> Dataset:
    """Messages of 4 to 24 words on four topics, the same on every machine."""
    rng = np.random.default_rng(0)
    common = COMMON.split()
    rows = []
    for number in range(count):
        topic = list(TOPICS)[number % len(TOPICS)]
        own = rng.choice(TOPICS[topic].split(), size=int(rng.integers(2, 7)))
        rest = rng.choice(common, size=int(rng.integers(2, 19)))
        rows.append(Example(" ".join(rng.permutation([*own, *rest])), topic, id=str(number + 1)))
    return Dataset(tuple(rows), source="made up")


def forward_rate(encoder: Encoder, seconds: float) -> float:
    """Tokens a second of the frozen backbone on as many texts as a small dataset has, in the passes that fits make."""
    texts = made_up_rows(FORWARD_TEXTS).texts
    return encoder.read_anew(texts) / best_seconds(lambda: encoder.read_anew(texts), seconds)


def _frozen_seconds(encoder: Encoder, context: Context, method: LoRA, seconds: float) -> float:
    """What the cached layers of one batch would cost: of all layers, less those that are trained; no gradients."""
    texts = context.dataset.texts[: method.batch_size]
    bodies = [Body(encoder, depth=depth, train_layers=False).eval() for depth in (method.frozen_layers(encoder), 0)]
    with torch.no_grad():
        top, whole = (best_seconds(lambda body=body: body(texts), seconds / 2) for body in bodies)  # type: ignore[misc]
    return max(0.0, whole - top)


def flops_a_token(encoder: Encoder, method: LoRA) -> float:
    """Operations of a training step a token: forward and back through the live layers' matrices, whose weights stay.

    Attention's own products and the adapters are left out, and so is the way back into what the lowest live layer
    reads, which nobody takes where states below are cached: a share of the peak is never flattered.
    """
    layers, depth = layer_list(encoder.model), method.frozen_layers(encoder)
    live = [encoder.model] if layers is None else list(layers)[depth:]
    first = _weights(live[0], LOOKS) if depth else 0
    return 4.0 * sum(map(_weights, live)) - 2.0 * first


def _weights(layer: Any, names: Sequence[str] = ()) -> int:
    """In the matrices of a layer; of those whose last name is one of `names`, when there are any."""
    found = [(n, p) for n, p in layer.named_modules() if type(p).__name__ in ("Linear", "Conv1D")]
    return sum(int(part.weight.numel()) for name, part in found if not names or name.rpartition(".")[2] in names)


def peak_flops(seconds: float) -> float:
    """Operations a second of the fastest of some matrix products in this machine's format."""
    dtype = torch.bfloat16 if detect() == "bf16" else torch.float32
    best = 0.0
    sizes = PEAK_SIZES.get(device().type, PEAK_SIZES["cpu"])
    for size in sizes:
        left, right = (torch.randn(size, size, device=device()).to(dtype) for _ in range(2))
        spent = best_seconds(lambda left=left, right=right: left @ right, seconds / len(sizes))  # type: ignore[misc]
        best = max(best, 2 * size**3 / spent)
    return best


def best_seconds(work: Callable[[], object], seconds: float) -> float:
    """The fastest of as many calls as fit, after one that is not counted; at least three."""
    _finished(work())
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 3 or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        _finished(work())
        times.append(time.perf_counter() - started)
    return min(times)


def _finished(_: object) -> None:
    """A GPU works on while Python goes on: wait for it."""
    if device().type == "cuda":
        torch.cuda.synchronize()


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
