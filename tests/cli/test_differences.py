"""Only the stretch that differs is shown, and nothing in it is invisible."""

from fewtune.cli.differences import WIDEST, differing, visible


def test_only_what_differs_with_a_little_around_it():
    before, after = differing("x" * 100 + "one" + "y" * 100, "x" * 100 + "two" + "y" * 100)
    assert before == "…" + "x" * 24 + "one" + "y" * 24 + "…"
    assert after == "…" + "x" * 24 + "two" + "y" * 24 + "…"


def test_repeats_are_not_counted_at_both_ends():
    assert differing("aaaa", "aa") == ("aaaa", "aa")
    assert differing("", "a") == ("", "a")


def test_long_stretches_lose_their_middle():
    shown, _ = differing("a" * 1000, "b")
    assert len(shown) < WIDEST + 10
    assert " … " in shown


def test_signs_for_what_nobody_sees():
    assert visible("a\nb\tc\xa0\u200b\ud800 d") == "a↵b⇥c⟨U+00A0⟩⟨U+200B⟩⟨U+D800⟩ d"
    assert differing("end  ", "end") == ("end··", "end")
