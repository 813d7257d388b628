"""`TextClassifier`: what it is told, what it learns, what it answers, and how it is kept."""

from __future__ import annotations

import tempfile
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from fewtune.classifier.rows import dataset_of, labels_of, names_of, pool_of, texts_of, told_of_empty
from fewtune.data.base import Dataset
from fewtune.estimator import Estimator

if TYPE_CHECKING:
    from fewtune.model_folder import Model

LEARNED = "they are learned from like any other row. Leave them out, with their labels."
ANSWERED = "each gets an answer like any other, which says nothing. Leave them out."


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
        y : [N] labels: strings, integers, booleans, or floats that are whole numbers.
        groups : [N] what may never be split across folds.
        unlabelled : texts of the same kind without labels.

        Raises
        ------
        DataError, UsageError : rows that make no task, with what to do.

        Warns
        -----
        UserWarning : texts that are empty; the note stands in the result as well.
        """
        texts = texts_of(X)
        labels = labels_of(y, len(texts))
        classes = np.unique(labels)
        spoken = dict(zip(classes.tolist(), names_of(classes), strict=True))
        notes = told_of_empty(texts, LEARNED, depth=2)
        dataset = dataset_of(texts, [spoken[label] for label in labels.tolist()], groups, notes)
        self._learn(dataset, pool_of(texts_of(unlabelled, "unlabelled")) if len(unlabelled) else None)
        self._name(classes)
        return self

    def fit_dataset(self, dataset: Dataset, *, unlabelled: Dataset | None = None) -> TextClassifier:
        """Learn from what `fewtune.read` gave, keeping its notes, ids and groups."""
        self._learn(dataset, unlabelled)
        self._name(np.asarray(dataset.classes))
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
        self._open(found.model)

    def _open(self, model: Model, files: bytes | None = None) -> None:
        """Have `model` answer; `files` are its folder's, where it came from one and not from a fit."""
        self.model_: Model = model
        self.temperature_: float = model.temperature
        self._files = files

    def _name(self, classes: Any) -> None:
        """Have the model's classes called by these labels, which may be sorted otherwise than their names."""
        order = {name: place for place, name in enumerate(self.model_.classes)}
        self.classes_ = classes
        self._columns = np.asarray([order[name] for name in names_of(classes)])

    def predict_proba(self, X: Sequence[str]) -> np.ndarray:
        """[N, C] calibrated probabilities in the order of `classes_`; a UserWarning for texts that are empty."""
        return self._probabilities(X)

    def predict(self, X: Sequence[str]) -> np.ndarray:
        """[N] labels, of the type they were given in; a UserWarning for texts that are empty."""
        best_N = self._probabilities(X).argmax(1)
        return np.asarray(self.classes_[best_N])

    def _probabilities(self, X: Sequence[str]) -> np.ndarray:
        check_is_fitted(self, "model_")
        texts = texts_of(X)
        told_of_empty(texts, ANSWERED, depth=3)
        return np.asarray(self.model_.predict_proba(texts)[:, self._columns])

    def save(self, folder: str | Path) -> Path:
        """Write the model folder.

        `TextClassifier.load` opens it and gives labels back in their own type; the classes that `fewtune.load` and the
        command line see are strings (`"0"` for 0).

        Raises
        ------
        StoreError : it cannot be written.
        """
        from fewtune.classifier.files import unpack, write_labels
        from fewtune.model_folder import save, save_whole

        check_is_fitted(self, "model_")
        folder, files = Path(folder), self._files
        if files is not None:
            save_whole(folder, lambda temporary: unpack(files, temporary))
        else:
            save(self.model_, self.fit_.encoder, folder)
        write_labels(self.classes_, folder)
        return folder

    @classmethod
    def load(cls, folder: str | Path) -> TextClassifier:
        """A fitted classifier from what `save` wrote, or from the folder of `fewtune fit --out`.

        It predicts, saves and pickles. Its parameters are the defaults and it has no `result_`: the folder holds
        neither. Labels that were no strings in a folder without `labels_as_given.json` come back as strings.

        Raises
        ------
        UsageError, BackboneDamaged, UnsafeWeights : as `fewtune.load`.
        """
        from fewtune.classifier.files import packed, read_labels
        from fewtune.model_folder import find, load

        found = find(Path(folder))
        classifier = cls()
        classifier._open(load(found), packed(found))
        classifier._name(read_labels(found, classifier.model_.classes))
        return classifier

    def __getstate__(self) -> dict[str, Any]:
        """For a pickle: the fitted model as the files of its folder."""
        state = super().__getstate__()
        if state.pop("model_", None) is not None:
            state["_files"] = self._files or self._packed()
        return state

    def _packed(self) -> bytes:
        from fewtune.classifier.files import packed

        with tempfile.TemporaryDirectory(prefix="fewtune-") as room:
            return packed(self.save(Path(room) / "model"))

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the model that a pickle holds."""
        from fewtune.classifier.files import opened

        super().__setstate__(state)
        files = state.get("_files")
        if files is not None:
            self._open(opened(files), files)

    def __sklearn_tags__(self) -> Any:
        """Texts come as a plain list of strings; two labels at least."""
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.two_d_array = False
        tags.input_tags.one_d_array = True
        tags.target_tags.required = True
        return tags


__all__ = ["TextClassifier"]
