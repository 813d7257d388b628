"""The public names, and nothing else."""

from importlib import import_module

import pytest

import fewtune


def test_the_public_names_are_these():
    assert sorted(fewtune.__all__) == [
        "Dataset",
        "Example",
        "FewtuneError",
        "Recipe",
        "TextClassifier",
        "TextGenerator",
        "check",
        "load",
        "load_writer",
        "read",
    ]
    assert set(fewtune.__all__) <= set(dir(fewtune))


@pytest.mark.parametrize("name", fewtune.__all__)
def test_each_name_is_what_its_module_calls_it(name):
    found = getattr(fewtune, name)
    assert found.__name__ == name
    assert getattr(import_module(found.__module__), name) is found
    assert found.__doc__


def test_a_name_nobody_has():
    with pytest.raises(AttributeError, match="no attribute 'Magic'"):
        fewtune.Magic  # noqa: B018


def test_a_star_gives_the_public_names():
    found: dict[str, object] = {}
    exec("from fewtune import *", found)
    assert sorted(name for name in found if not name.startswith("_")) == sorted(fewtune.__all__)


def test_the_version_is_the_packages():
    from importlib.metadata import version

    assert fewtune.__version__ == version("fewtune")


def test_every_error_a_person_can_cause_has_an_exit_code_and_a_root():
    from fewtune import errors

    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    assert len(kinds) > 10
    for kind in kinds:
        assert issubclass(kind, fewtune.FewtuneError)
        assert kind.exit_code in (1, 2)
        assert kind.__name__ in errors.__doc__, "the tree is drawn at the top of the file"
