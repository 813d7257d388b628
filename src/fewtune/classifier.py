"""`TextClassifier`: the whole job behind scikit-learn's interface."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fewtune.data.base import Dataset, Example
from fewtune.errors import UsageError
from fewtune.estimator import Estimator

if TYPE_CHECKING:
    from fewtune.model_folder import Model


class TextClassifier(ClassifierMixin, Estimator):  # type: ignore[misc]
    """Climb the ladder on labelled texts, keep the rung that earns its place, say whether to believe it.

    Parameters
    ----------
    backbone : str, path or list of them, smallest first
        `default` (all-MiniLM-L6-v2, embedded), `starter`, a Hugging Face folder, or a Hub name: of an encoder, or of a
        model that writes, which is then asked for the label (docs/labels-by-prompt.md).
    methods : list of method names, or None
        Which rungs to climb; None for every one that applies. `majority` and `probe` are always judged.
    budget : str, seconds or None
        Time to spend, like `"15m"`; None for no limit.
    folds, repeats : int or None
        Of the cross-validation; None chooses by the number of rows.
    splits : path, SplitFile, or list of (train, test) row indices, or None
        Judge on exactly these; see `fewtune.splitting`.
    template : Template, name of a layout, path, or None
        How a text is put to the backbone; see `fewtune.data.templates`.
    words : dict, path, list of `"class=words"`, or None
        What each class is called where its name is read; its own name, in words, when not given.
    executor : str
        Who carries out the runs: `auto`, `serial`, `forked`, `stacked` or `ray`. How long a fit takes depends on it,
        what is fitted does not.
    ray_address : str or None
        Of a Ray cluster, for `executor="ray"`; one of this machine's cores is started when not given.
    abstain : float
        Precision that the answers kept should reach, for the threshold.
    random_state : int
        The only source of randomness.
    out : path or None
        A folder to keep finished runs in, so that the same fit resumes; None keeps nothing.
    progress : fewtune.study.progress.Progress or None
        Told of stages, runs and steps.

    Attributes
    ----------
    classes_ : ndarray of the labels, sorted, of the type given.
    model_ : the fitted model (`fewtune.model_folder.Model`).
    result_ : dict, what `result.json` holds.
    ladder_ : list of dicts, one a rung.
    temperature_ : float, of the calibrated probabilities.

    Examples
    --------
    >>> from fewtune import TextClassifier
    >>> classifier = TextClassifier(budget="2m").fit(texts, labels)  # doctest: +SKIP
    >>> classifier.result_["verdict"]["sentence"]  # doctest: +SKIP
    """

    def __init__(
        self,
        backbone: str | Path | Sequence[str | Path] = "default",
        *,
        methods: Sequence[str] | None = None,
        budget: str | float | None = None,
        folds: int | None = None,
        repeats: int | None = None,
        splits: Any = None,
        template: Any = None,
        words: Any = None,
        executor: str = "auto",
        ray_address: str | None = None,
        abstain: float = 0.9,
        random_state: int = 0,
        out: str | Path | None = None,
        progress: Any = None,
    ) -> None:
        self.backbone = backbone
        self.methods = methods
        self.budget = budget
        self.folds = folds
        self.repeats = repeats
        self.splits = splits
        self.template = template
        self.words = words
        self.executor = executor
        self.ray_address = ray_address
        self.abstain = abstain
        self.random_state = random_state
        self.out = out
        self.progress = progress

    def fit(
        self,
        X: Sequence[str],
        y: Sequence[Any],
        *,
        groups: Sequence[Hashable] | None = None,
        unlabelled: Sequence[str] = (),
    ) -> TextClassifier:
        """Learn.

        Parameters
        ----------
        X : [N] texts.
        y : [N] labels, strings or integers.
        groups : [N] what may never be split across folds.
        unlabelled : texts of the same kind without labels.

        Raises
        ------
        DataError, UsageError : rows that make no task, with what to do.
        """
        texts = _texts(X)
        labels = _labels(y, len(texts))
        self.classes_ = np.unique(labels)
        names = _names(self.classes_)
        spoken = dict(zip(self.classes_.tolist(), names, strict=True))
        dataset = _dataset(texts, [spoken[label] for label in labels.tolist()], groups)
        self._learn(dataset, _pool(_texts(unlabelled)) if len(unlabelled) else None)
        order = {name: place for place, name in enumerate(self.model_.classes)}
        self._columns = np.asarray([order[name] for name in names])
        return self

    def fit_dataset(self, dataset: Dataset, *, unlabelled: Dataset | None = None) -> TextClassifier:
        """Learn from what `fewtune.read` gave, keeping its notes, ids and groups."""
        self.classes_ = np.asarray(dataset.classes)
        self._learn(dataset, unlabelled)
        self._columns = np.arange(len(self.classes_))
        return self

    def _learn(self, dataset: Dataset, unlabelled: Dataset | None) -> None:
        from fewtune.data.templates.make import template_of
        from fewtune.fitting import fit
        from fewtune.model_folder import Model
        from fewtune.study.settings import Settings

        settings = Settings(
            template=template_of(self.template, words=self.words),
            ray_address=self.ray_address,
            abstain=self.abstain,
            **self._settings(),
        )
        found = fit(dataset, settings, unlabelled=unlabelled, progress=self.progress)
        assert isinstance(found.model, Model)
        self._learnt(found)
        self.model_: Model = found.model
        self.temperature_: float = self.model_.temperature

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """[N, C] calibrated probabilities in the order of `classes_`."""
        check_is_fitted(self, "model_")
        return np.asarray(self.model_.predict_proba(_texts(X))[:, self._columns])

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """[N] labels."""
        best_N = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[best_N])

    def save(self, folder: str | Path) -> Path:
        """Write the model folder. Raises StoreError when it cannot be written."""
        from fewtune.model_folder import save

        check_is_fitted(self, "model_")
        save(self.model_, self.fit_.encoder, Path(folder))
        return Path(folder)

    def __sklearn_tags__(self) -> Any:
        """Texts come as a plain list of strings; two labels at least."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.target_tags.required = True
        return tags


def _texts(X: Any) -> list[str]:
    if isinstance(X, str):
        raise UsageError("X is one string. Give a list of texts.")
    if getattr(X, "ndim", 1) == 2 and X.shape[1] != 1:
        raise UsageError(f"X has {X.shape[1]} columns. Give one column of texts.")
    values = list(np.asarray(X, dtype=object).ravel()) if getattr(X, "ndim", 1) == 2 else list(X)
    for place, value in enumerate(values):
        if not isinstance(value, str):
            raise UsageError(f"X[{place}] is a {type(value).__name__}, not a text. Give a list of strings.")
    return [str(value) for value in values]


def _labels(y: Any, rows: int) -> Any:
    if y is None:
        raise UsageError("y is missing. Give one label a text: this classifier requires y to be passed.")
    given = list(y)
    labels = np.asarray(given)
    if labels.ndim != 1 or len(labels) != rows:
        raise UsageError(f"y has shape {labels.shape} for {rows} texts. Give one label a text.")
    if labels.dtype.kind == "f":
        raise UsageError("y holds fractions: this is a classifier. Give class names or integer codes.")
    # NumPy would turn a missing label among strings into the string "nan".
    words = [isinstance(label, str) for label in given]
    if not all(words) and (any(words) or not all(isinstance(label, int | np.integer | np.bool_) for label in given)):
        raise UsageError("y mixes types or lacks labels. Give strings or integers, one a text.")
    return labels


def _names(classes: Any) -> list[str]:
    return [str(label) for label in classes.tolist()]


def _dataset(texts: list[str], labels: list[str], groups: Sequence[Hashable] | None) -> Dataset:
    if groups is not None and len(groups) != len(texts):
        raise UsageError(f"groups has {len(groups)} entries for {len(texts)} texts. Give one a text.")
    examples = tuple(
        Example(text, label, id=str(row + 1), group=None if groups is None else str(groups[row]), row=row + 1)
        for row, (text, label) in enumerate(zip(texts, labels, strict=True))
    )
    return Dataset(examples)


def _pool(texts: list[str]) -> Dataset:
    return Dataset(tuple(Example(text, row=row + 1) for row, text in enumerate(texts)), label_column=None)
