"""Default rates are those of a model as wide as the starter; a wider one gets smaller ones, written in its recipe."""

from types import SimpleNamespace

import pytest

from fewtune.methods.generation.full import FullWriter
from fewtune.methods.generation.lora import LoRAWriter
from fewtune.methods.generation.prompt_tuning import PromptTuningWriter
from fewtune.methods.generation.tuned import DEFAULT_WIDTH
from fewtune.methods.generation.zero_shot import ZeroShotPrompt
from fewtune.methods.registry import WRITING_NAMES, method_class


def wide(width):
    return SimpleNamespace(width=width)


def test_a_model_no_wider_than_the_starter_gets_the_defaults():
    for name in WRITING_NAMES:
        method = method_class(name, "generation")()
        assert method.suited(wide(DEFAULT_WIDTH)) == method
        assert method.suited(wide(32)) == method


def test_wider_models_get_smaller_rates_each_by_its_own_law():
    assert LoRAWriter().suited(wide(2048)).rate == pytest.approx(3e-3 * (320 / 2048) ** 0.78, rel=0.05)
    assert FullWriter().suited(wide(2048)).rate == pytest.approx(1e-3 * 320 / 2048, rel=0.05)
    assert LoRAWriter().suited(wide(576)).rate > LoRAWriter().suited(wide(896)).rate


def test_what_no_width_changes_stays_and_nothing_else_changes():
    assert PromptTuningWriter().suited(wide(2048)) == PromptTuningWriter()
    assert ZeroShotPrompt().suited(wide(2048)) == ZeroShotPrompt()
    mine = LoRAWriter(rank=4, epochs=3).suited(wide(1024))
    assert (mine.rank, mine.epochs) == (4, 3)
