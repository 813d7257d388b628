"""Options that several commands take together: what typer sees of them, and what a command is given."""

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from fewtune.cli.groups import STARTED, Judging, Sampling, spread
from fewtune.errors import UsageError
from fewtune.study.settings import Settings


@dataclass(frozen=True)
class Size:
    width: Annotated[int, typer.Option(help="How wide.")] = 1
    height: Annotated[int, typer.Option("--height", "-h", help="How high.")] = 2


SQUARE = Size(3, 3)


def measured(given):
    """What a command that takes a size is given for a command line."""
    found = []

    @spread
    def command(
        name: Annotated[str, typer.Argument()],
        *,
        size: Size,
        loud: Annotated[bool, typer.Option("--loud")] = False,
    ) -> None:
        """Measure."""
        found.append((name, size, loud))

    @spread
    def square(*, size: Size = SQUARE) -> None:
        """Measure a square."""
        found.append(size)

    app = typer.Typer()
    app.command("command")(command)
    app.command("square")(square)
    answer = CliRunner().invoke(app, given)
    return answer, found


def test_a_command_is_given_the_dataclass():
    assert measured(["command", "box", "--width", "7", "--loud"])[1] == [("box", Size(7, 2), True)]
    assert measured(["command", "box", "-h", "5"])[1] == [("box", Size(1, 5), False)]


def test_defaults_are_the_dataclasss_own_or_those_of_the_value_given():
    assert measured(["command", "box"])[1] == [("box", Size(1, 2), False)]
    assert measured(["square", "--height", "4"])[1] == [Size(3, 4)]


def test_help_shows_each_option_at_its_place():
    said = measured(["command", "--help"])[0].output
    places = [said.index(words) for words in ("How wide.", "How high.", "--loud")]
    assert places == sorted(places)
    assert "Measure." in said


def test_two_options_of_one_name_are_refused_when_the_command_is_made():
    with pytest.raises(ValueError, match="duplicate"):

        @spread
        def command(*, size: Size, width: Annotated[int, typer.Option()] = 1) -> None: ...


def test_what_says_how_candidates_are_judged_is_settings():
    judging = Judging(budget="none", folds=3, seed=7)
    made = Settings(**judging.settings())
    assert (made.budget, made.folds, made.seed, made.started) == (None, 3, 7, STARTED)
    assert set(judging.settings()) <= set(inspect.signature(Settings).parameters)


class Fitted:
    def __init__(self, most):
        self.max_new_tokens = most


def test_the_length_asked_for_goes_before_what_the_fit_found_and_that_before_the_default():
    assert Sampling(max_new_tokens=9).decoding(Fitted(40)).max_new_tokens == 9
    assert Sampling().decoding(Fitted(40)).max_new_tokens == 40
    assert Sampling().decoding(Fitted(None)).max_new_tokens == Sampling().decoding().max_new_tokens == 256


def test_what_cannot_be_meant_is_said_without_a_model():
    with pytest.raises(UsageError, match="top_p"):
        Sampling(top_p=2.0).decoding()
