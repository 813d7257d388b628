"""Settings that a person changes."""

import pytest

from fewtune.errors import UsageError
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.methods.probe import Probe
from fewtune.recipe import Recipe
from fewtune.study.changes import change_of, changed
from fewtune.study.settings import Settings


@pytest.mark.parametrize(
    ("said", "value"),
    [
        ("lora.rank=64", 64),
        ("lora.rate = 2e-4", 2e-4),
        ("lora.rslora=yes", True),
        ("lora.rslora=off", False),
        ("lora.targets=q_proj, v_proj", ("q_proj", "v_proj")),
        ("lora.layers=2", 2),
        ("lora.layers=none", None),
        ("lora.dropout=0.1", 0.1),
    ],
)
def test_a_change_is_read_by_its_setting(said, value):
    found = change_of(said, "generation")
    assert (found.method, found.value) == ("lora", value)
    assert type(found.value) is type(value)
    (recipe, other) = changed([Recipe(LoRAWriter()), Recipe(ZeroShotPrompt())], [found])
    assert getattr(recipe.method, found.setting) == value
    assert other == Recipe(ZeroShotPrompt())


def test_settings_of_classifiers_too():
    (recipe,) = changed([Recipe(Probe())], [change_of("probe.strengths=1, 5", "classification")])
    assert recipe.method.strengths == (1.0, 5.0)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("rank=64", "names no setting"),
        ("lora.rank", "names no setting"),
        ("lora.height=3", "lora has no setting 'height'"),
        ("lora.rank=many", "rank is of the kind int"),
        ("lora.rank=none", "rank is of the kind int"),
        ("lora.rslora=perhaps", "rslora is of the kind bool"),
        ("probe.strength=1", "no method called 'probe'"),
    ],
)
def test_what_cannot_be_meant_is_said_before_any_work(said, why):
    with pytest.raises(UsageError, match=why):
        Settings(task="generation", changes=(said,))


def test_a_method_refuses_its_own_values():
    with pytest.raises(UsageError, match="rank is 1 or more"):
        changed([Recipe(LoRAWriter())], [change_of("lora.rank=0", "generation")])


def test_changes_stand_in_the_study_and_nothing_new_does_without_them():
    assert Settings(task="generation", changes=("lora.rank=4",)).to_json()["changes"] == ["lora.rank=4"]
    assert not {"changes", "task"} & set(Settings().to_json())
