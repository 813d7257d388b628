"""`TextGenerator` on several tasks, with replay, and in a pickle: what a notebook calls."""

import pickle

import pytest
from sklearn.base import clone

from fewtune import TextGenerator
from fewtune.data.base import Dataset
from fewtune.errors import UsageError
from fewtune.testing.tiny_writers import make_tiny_writer
from fewtune.testing.writer_toys import writer_toys

TOYS = writer_toys(16)


@pytest.fixture(scope="module")
def writer(tmp_path_factory):
    quick = {"methods": ["zero_shot"], "changes": ["few_shot.choose=tfidf"], "folds": 2, "repeats": 1}
    folder = make_tiny_writer(tmp_path_factory.mktemp("writer") / "llama")
    return TextGenerator(str(folder), executor="serial", replay=["general"], replay_share=0.1, **quick)


def part(start, end):
    return Dataset(TOYS.examples[start:end], task="generation", source=f"rows {start}")


def test_tasks_are_told_apart(writer):
    fitted = clone(writer).set_params(temperature=1.0).fit_tasks({"orders": part(0, 6), "more": part(6, 14)})
    tasks = {one["name"]: one for one in fitted.result_["tasks"]}
    assert [tasks[name]["rows"] for name in ("orders", "more")] == [6, 8]
    assert [tasks[name]["share"] for name in ("orders", "more")] == pytest.approx([6 / 14, 8 / 14])
    assert fitted.result_["replay"]["share"] == 0.1
    assert fitted.result_["source"] == "rows 0 + rows 6"


def test_what_is_replayed_is_told_of_one_task_too(writer):
    fitted = clone(writer).fit([one.prompt for one in TOYS][:8], [one.completion for one in TOYS][:8])
    assert fitted.result_["replay"]["sources"] == [{"name": "general", "rows": 144}]
    assert "tasks" not in fitted.result_


def test_what_cannot_be_mixed_is_refused(writer):
    with pytest.raises(UsageError, match="between 0 and 1"):
        clone(writer).set_params(replay_share=1.5).fit_tasks({"a": part(0, 6), "b": part(6, 12)})
    with pytest.raises(UsageError, match="temperature"):
        clone(writer).set_params(temperature=0.0).fit_tasks({"a": part(0, 6), "b": part(6, 12)})


def test_a_fitted_one_goes_to_other_processes(writer):
    prompts, completions = [one.prompt for one in TOYS][:8], [one.completion for one in TOYS][:8]
    fitted = clone(writer).set_params(replay=()).fit(prompts, completions)
    again = pickle.loads(pickle.dumps(fitted))
    assert again.predict(prompts) == fitted.predict(prompts)
    assert again.score(prompts, completions) == fitted.score(prompts, completions)
    assert again.result_ == fitted.result_
