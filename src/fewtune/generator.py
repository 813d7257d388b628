"""`TextGenerator`: tuning a model that writes, behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sklearn.utils.validation import check_is_fitted

from fewtune.data.base import Dataset, Example
from fewtune.data.readers.base import sound
from fewtune.errors import UsageError, kind_of
from fewtune.estimator import Estimator

if TYPE_CHECKING:
    from fewtune.data.mixing import Mix
    from fewtune.writer_folder import WritingModel


class TextGenerator(Estimator):
    """Ask a model, ask it with examples, tune it; keep what earns its place, say whether tuning bought anything.

    Parameters
    ----------
    backbone : str, path or list of them
        `default` (the starter, from fewtune-starter), a Hugging Face folder, or a Hub name; causal or seq2seq.
    methods : list of method names, or None
        Of zero_shot, few_shot, lora, top_layers, full; None for all. Both prompts are always judged.
    changes : list of str
        Settings in place of defaults, like `"lora.rank=64"`, `"lora.neftune=5"`.
    budget : str, seconds or None
        Time to spend, like `"15m"`; None for no limit.
    folds, repeats : int or None
        Of the cross-validation; None chooses by the number of rows.
    splits : path, SplitFile, or list of (train, test) row indices, or None
        Judge on exactly these.
    template : Template, name of a layout, path, or None
        How a prompt is put to the model; None: its own chat template, else plain.
    general : path, list of texts or of mappings, Dataset, or None
        What it should not forget: prompts with completions, or texts, scored before and after tuning beside the general
        text that comes with fewtune.
    replay : list of "general", paths, texts or Datasets
        What it learns again beside the rows, so as not to forget it.
    replay_share : float
        Share of the rows learnt that are replayed.
    temperature : float
        Of `fit_tasks`: 1 draws each task by its rows, more draws small ones oftener.
    executor : str
        Who carries out the runs; it changes no result.
    processes : int or None
        How many processes share the model, where it is larger than one GPU; each has a GPU, where there are any. It
        changes no result. The others are started here and end with this one.
    micro_batch : int or None
        Rows worked on at a time in training; None: as many as fit. It changes no result.
    gradient_checkpointing : bool or None
        Whether layers are computed again on the way back; None: where nothing else fits. It changes no result.
    random_state : int
        The only source of randomness.
    out : path or None
        A folder to keep finished runs in, so that the same fit resumes.
    progress : fewtune.study.progress.Progress or None
        Told of stages, runs and steps.

    Attributes
    ----------
    model_ : the fitted model (`fewtune.writer_folder.WritingModel`).
    result_ : dict, what `result.json` holds.
    ladder_ : list of dicts, one a rung.

    Examples
    --------
    >>> from fewtune import TextGenerator
    >>> writer = TextGenerator(budget="10m").fit(prompts, completions)  # doctest: +SKIP
    >>> writer.predict(["name[The Mill], food[Italian]"])  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str | Path | Sequence[str | Path] = "default",
        *,
        methods: Sequence[str] | None = None,
        changes: Sequence[str] = (),
        budget: str | float | None = None,
        folds: int | None = None,
        repeats: int | None = None,
        splits: Any = None,
        template: Any = None,
        general: Any = None,
        replay: Sequence[Any] = (),
        replay_share: float = 0.05,
        temperature: float = 2.0,
        executor: str = "auto",
        processes: int | None = None,
        micro_batch: int | None = None,
        gradient_checkpointing: bool | None = None,
        random_state: int = 0,
        out: str | Path | None = None,
        progress: Any = None,
    ) -> None:
        self.backbone = backbone
        self.methods = methods
        self.changes = changes
        self.budget = budget
        self.folds = folds
        self.repeats = repeats
        self.splits = splits
        self.template = template
        self.general = general
        self.replay = replay
        self.replay_share = replay_share
        self.temperature = temperature
        self.executor = executor
        self.processes = processes
        self.micro_batch = micro_batch
        self.gradient_checkpointing = gradient_checkpointing
        self.random_state = random_state
        self.out = out
        self.progress = progress

    def fit(self, X: Sequence[str], y: Sequence[str], *, groups: Sequence[Hashable] | None = None) -> TextGenerator:
        """Learn.

        Parameters
        ----------
        X : [N] prompts.
        y : [N] what is to be written after each.
        groups : [N] what may never be split across folds; rows of one prompt never are.

        Raises
        ------
        DataError, UsageError : rows that make no task, with what to do.
        """
        return self.fit_dataset(Dataset(_examples(X, y, groups), task="generation"))

    def fit_tasks(self, tasks: Mapping[str, Dataset]) -> TextGenerator:
        """Learn several tasks at once, from what `fewtune.read` gave of each; `result_["tasks"]` tells who is hurt.

        Raises
        ------
        DataError, UsageError : rows that make no task, or tasks that cannot be mixed, with what to do.
        """
        from fewtune.data.tasks import join

        mixed = self._mix()
        whole, mix = join(
            list(tasks.items()), temperature=self.temperature, replayed=mixed.replayed, share=self.replay_share
        )
        return self._fit(whole, mix)

    def _mix(self) -> Mix:
        """What is learnt again."""
        from fewtune.data.general import read_replays
        from fewtune.data.mixing import Mix

        sources = [self.replay] if isinstance(self.replay, str | Path | Dataset) else list(self.replay)
        replayed = read_replays(sources, own=self.general)
        return Mix(replayed=replayed, share=self.replay_share, temperature=self.temperature)

    def fit_dataset(self, dataset: Dataset) -> TextGenerator:
        """Learn from what `fewtune.read` gave: prompts, conversations or plain texts."""
        return self._fit(dataset, self._mix())

    def _fit(self, dataset: Dataset, mix: Mix) -> TextGenerator:
        from fewtune.data.templates.make import template_of
        from fewtune.fitting import fit
        from fewtune.study.settings import Settings
        from fewtune.tune.thrift import Thrift
        from fewtune.writer_folder import WritingModel

        if dataset.task == "classification":
            raise UsageError("These rows have labels. Take TextClassifier, or read them with task='generation'.")
        settings = Settings(
            template=template_of(self.template),
            processes=self.processes,
            thrift=Thrift(self.micro_batch, self.gradient_checkpointing),
            task=dataset.task,
            changes=tuple(self.changes),
            **self._settings(),
        )
        found = fit(dataset, settings, general=self.general, mix=mix, progress=self.progress)
        assert isinstance(found.model, WritingModel)
        self._learnt(found)
        self.model_: WritingModel = found.model
        return self

    def prefer(
        self,
        preferences: Any,
        *,
        methods: Sequence[str] | None = None,
        changes: Sequence[str] = (),
        test: Any = None,
        out: str | Path | None = None,
    ) -> TextGenerator:
        """A second stage, from which of two answers is better; budget, folds, seed and the rest are this one's.

        Parameters
        ----------
        preferences : anything `fewtune prefer` reads: a path, a list of mappings with prompt, chosen and rejected, …
        methods : of dpo, orpo and kto; None for all that can learn from the rows.
        changes : settings in place of defaults, like `"dpo.beta=0.3"`.
        test : preferences, read once, at the very end.
        out : a folder to keep finished runs in; the first stage is written beside it.

        Returns
        -------
        TextGenerator
            Another one, fitted: tuned by the preferences where that is better, else the first stage as it was, with
            `result_` and `ladder_` of this stage. This one stays as it is.

        Raises
        ------
        MissingExtra, DataError, UsageError : with what to do.
        """
        from sklearn.base import clone

        from fewtune.preferring import prefer_from

        check_is_fitted(self, "model_")
        found = prefer_from(
            self.model_,
            preferences,
            test=test,
            general=self.general,
            progress=self.progress,
            out=None if out is None else Path(out),
            methods=None if methods is None else tuple(methods),
            changes=tuple(changes),
            budget=self.budget,
            folds=self.folds,
            repeats=self.repeats,
            executor=self.executor,
            seed=self.result_["seed"],
        )
        other: TextGenerator = clone(self)
        other.model_, other.result_ = found.model, found.result
        other.ladder_ = found.result["ladder"]
        return other

    def predict(self, X: Sequence[str], *, settings: Any = None) -> list[str]:
        """[N] what it writes for each prompt: greedily, or as a `Decoding` in `settings` says."""
        check_is_fitted(self, "model_")
        return self.model_.write(_texts("X", X), settings)

    def score(self, X: Sequence[str], y: Sequence[str]) -> float:
        """Minus the bits per byte that the completions `y` cost after the prompts `X`: higher is better."""
        from fewtune.study.evaluator import bits_per_byte

        check_is_fitted(self, "model_")
        return -bits_per_byte(self.model_.costs(_examples(X, y, None)))

    def save(self, folder: str | Path) -> Path:
        """Write the model folder. Raises StoreError when it cannot be written."""
        from fewtune.writer_folder import save_writer

        check_is_fitted(self, "model_")
        save_writer(self.model_, Path(folder))
        return Path(folder)


def _texts(name: str, values: Any) -> list[str]:
    if isinstance(values, str):
        raise UsageError(f"{name} is one string. Give a list of texts.")
    found = list(values)
    for place, value in enumerate(found):
        if not isinstance(value, str):
            raise UsageError(f"{name}[{place}] is {kind_of(value)}, not a text. Give a list of strings.")
    return [sound(str(value)) for value in found]


def _examples(X: Any, y: Any, groups: Sequence[Hashable] | None) -> tuple[Example, ...]:
    prompts, completions = _texts("X", X), _texts("y", y)
    for name, values in (("y", completions), ("groups", groups)):
        if values is not None and len(values) != len(prompts):
            raise UsageError(f"{name} has {len(values)} entries for {len(prompts)} prompts. Give one a prompt.")
    return tuple(
        Example(
            prompt,
            id=str(row + 1),
            group=None if groups is None else str(groups[row]),
            row=row + 1,
            completion=completion,
        )
        for row, (prompt, completion) in enumerate(zip(prompts, completions, strict=True))
    )
