"""What each cleaner mends, and the reason it gives."""

import pytest

from fewtune.data.clean.boilerplate import Boilerplate
from fewtune.data.clean.characters import Characters
from fewtune.data.clean.encoding import Encoding
from fewtune.data.clean.markup import Markup
from fewtune.data.clean.spaces import Spaces

MENDED = [
    (Encoding, "Das ist schÃ¶n", "Das ist schön", "UTF-8"),
    (Encoding, "I can\x92t wait", "I can’t wait", "Windows-1252"),
    (Encoding, "fine line\nl'Ã©tÃ© Ã  Paris", "fine line\nl'été à Paris", "UTF-8"),
    (Encoding, "ÐŸÑ€Ð¸Ð²ÐµÑ‚, где заказ?", "Привет, где заказ?", "UTF-8"),
    (Encoding, "a smile \ud83d\ude00", "a smile 😀", "surrogate"),
    (Markup, "<p>Where is <b>my</b> order?</p>", "Where is my order?", "b, p"),
    (Markup, "one<br>two<br/>three", "one\ntwo\nthree", "br"),
    (Markup, "a &amp;lt; b &amp; c", "a < b & c", "&amp;"),
    (Markup, "Oracle #39;s price", "Oracle's price", "#39;"),
    (Markup, "it costs #36;5 now", "it costs $5 now", "#36;"),
    (Markup, "hi &#55357;&#56832;", "hi 😀", "&#55357;"),
    (Markup, "<style>p {color: red}</style><p>Hello</p><!-- tracking -->", "Hello", "comments"),
    (Markup, '<a href="http://x.example/?a=1">here</a> it is', "here it is", "tags removed: a"),
    (Markup, "<table><tr><td>Name</td><td>Ann</td></tr></table>", "Name  Ann", "table"),
    (Markup, "&lt;p&gt;escaped&lt;/p&gt;", "escaped", "entities"),
    (Markup, "<P>Old<P>style", "Old\nstyle", "p"),
    (Characters, "zero\u200bwidth\ufeff", "zerowidth", "zero width space"),
    (Characters, "bell\x07 and nul\x00", "bell and nul", "U+0007"),
    (Characters, "a\x1fb", "a b", "U+001F"),
    (Characters, "\x1b[31mred\x1b[0m", "red", "colours"),
    (Characters, "left\u202eright", "leftright", "right-to-left override"),
    (Characters, "soft\xadware", "software", "soft hyphen"),
    (Characters, "la\u200dtin", "latin", "zero width joiner"),
    (Characters, "half \ud83d", "half \ufffd", "surrogate"),
    (Characters, "hidden\U000e0041 tag", "hidden tag", "tag latin"),
    (Spaces, "  two  spaces\tand tab  ", "two spaces and tab", "runs"),
    (Spaces, "a\r\nb\rc\u2028d", "a\nb\nc\nd", "line ends"),
    (Spaces, "non\xa0breaking\u2009thin", "non breaking thin", "unusual"),
    (Spaces, "one\n\n\n\n\ntwo", "one\n\ntwo", "runs"),
]


@pytest.mark.parametrize(("kind", "before", "after", "reason"), MENDED)
def test_it_is_mended_and_says_why(kind, before, after, reason):
    proposal = kind().propose(before)
    assert (proposal.after, reason in proposal.reason) == (after, True), proposal


@pytest.mark.parametrize("text", ["\u200b", "<br>", "<img src='x'>", " \t ", "\x07", "&nbsp;"])
@pytest.mark.parametrize("kind", [Encoding, Markup, Characters, Spaces])
def test_a_text_is_never_emptied(kind, text):
    assert kind().propose(text) is None


def test_a_control_code_that_stands_for_a_letter_is_left_to_the_encoding():
    assert Characters().propose("I can\x92t") is None
    assert Characters().propose("jirÃ\xad") is None


WISHES = ["My parcel is late", "Refund me", "It broke", "Close it", "I can't log in", "What now", "The app crashed"]
FOOT = "Sent from my phone\nThis message is confidential and meant for its addressee alone."


def boilerplate(texts):
    cleaner = Boilerplate()
    cleaner.fit(texts)
    return [(proposal := cleaner.propose(text)) and proposal.after for text in texts]


def test_a_signature_under_many_texts_is_found_and_cut():
    texts = [f"{wish}.\n\n{FOOT}" for wish in WISHES]
    assert boilerplate(texts) == [f"{wish}." for wish in WISHES]


def test_a_head_with_numbers_that_differ_is_one_head():
    texts = [f"Ticket no. {4400 + place} was received\n{wish}" for place, wish in enumerate(WISHES)]
    assert boilerplate(texts) == WISHES


def test_in_texts_of_one_line_sentences_count():
    texts = [f"{wish}. Thank you for your kind help." for wish in WISHES]
    assert boilerplate(texts) == [f"{wish}." for wish in WISHES]


def test_copies_of_one_text_are_no_boilerplate():
    assert boilerplate(["The hub is offline again.\nPlease help me with it."] * 50) == [None] * 50


def test_a_row_that_is_all_boilerplate_is_left():
    texts = [*(f"{wish}.\n{FOOT}" for wish in WISHES), FOOT]
    assert boilerplate(texts)[-1] is None


def test_short_greetings_and_rare_lines_stay():
    texts = [f"Hi,\n{wish}\nBest," for wish in WISHES] + [f"{wish}\nA line that stands twice" for wish in WISHES[:2]]
    assert boilerplate(texts) == [None] * len(texts)


def test_reason_quotes_what_is_cut():
    cleaner = Boilerplate()
    cleaner.fit([f"{wish}.\n{FOOT}" for wish in WISHES])
    assert "'Sent from my phone'" in cleaner.propose(f"Anything\n{FOOT}").reason
