"""What every cleaner promises of every text."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fewtune.data.clean.base import is_readable
from fewtune.data.clean.boilerplate import Boilerplate
from fewtune.data.clean.registry import CLEANERS, NAMES

PIECES = [
    *(
        "&amp;",
        "&lt;b&gt;",
        "&#39;",
        "&#55357;&#56832;",
        "&#0;",
        "&nbsp;",
        "#39;s",
        "&;",
        "&&amp;amp;",
        "<",
        ">",
        "</p>",
    ),
    *(
        "<b>",
        "</b>",
        "<br/>",
        "<a href='x'>",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<div",
        "<<b>i>",
        "<3",
        "List<T>",
    ),
    *(
        "Ã©",
        "â€™",
        "Ã\xad",
        "\x92",
        "\xa0",
        "\u200b",
        "\u200c",
        "\u200d",
        "\ufeff",
        "\u202e",
        "\x00",
        "\x1b[31m",
        "\ud83d",
    ),
    *(
        "\ude00",
        "\r\n",
        "\r",
        "\x85",
        "\u2028",
        "\t",
        "   ",
        "\n\n\n\n",
        "\u3000",
        "سلام",
        "می\u200cخواهم",
        "नमस्ते",
        "你好。",
        "👩\u200d👩\u200d👧",
    ),
    *(
        "me@mail.example.org",
        "+44 20 7946 0958",
        "4111 1111 1111 1111",
        "GB82 WEST 1234 5698 7654 32",
        "10.20.30.40",
        "::1",
    ),
    *("Hello there.", "Sent from my phone", "1", "a", " ", "fe80::1:2", "(555) 234-5678", "[EMAIL]", "@", "é", "ß"),
]
TEXTS = st.one_of(
    st.text(st.characters(), max_size=60),
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join),
    st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=8).map("".join),
)
FITTED_ON = [f"Row {word}.\nKind regards, the team" for word in ("one", "two", "three", "four", "five", "six")]


def fitted(kind):
    cleaner = kind()
    cleaner.fit(FITTED_ON)
    return cleaner


@pytest.mark.parametrize("kind", CLEANERS, ids=NAMES)
@settings(deadline=None, max_examples=300)
@given(text=TEXTS)
@example(text="&amp;" * 3 + "amp;" * 20 + "lt;")
@example(text="<" * 40 + "b>" * 40 + "</b>" * 40)
def test_cleaning_twice_is_cleaning_once_and_leaves_something_to_read(kind, text):
    cleaner = fitted(kind)
    proposal = cleaner.propose(text)
    if proposal is not None:
        assert proposal.after != text
        assert proposal.reason
        assert is_readable(proposal.after)
        assert cleaner.propose(proposal.after) is None


@settings(deadline=None, max_examples=400)
@given(text=TEXTS)
def test_taking_turns_comes_to_an_end(text):
    """One cleaner may uncover work for another, but not for ever."""
    cleaners = [fitted(kind) for kind in CLEANERS]
    for _ in range(6):
        before = text
        for cleaner in cleaners:
            proposal = cleaner.propose(text)
            text = proposal.after if proposal else text
        if text == before:
            return
    raise AssertionError(f"still moving: {text!r}")


CLEAN = [
    "Where is my parcel? It was due on 3 March, order 4471-2290-11.",
    "Price: 5 < 6 and x > y; I <3 it. Use List<String> & Map<K, V>.",
    "How do I centre a <div> inside another <div>?",
    "What does `<br>` do, and what is <br>?",
    "AT&T; R&D; a&b;c https://example.org/?a=1&copy=2&lt=3",
    "First line\n\nSecond paragraph\n    indented as code\n  - a list",
    "“Curly quotes” – and an em dash — stay, as do ﬁne ligatures and ｆｕｌｌ width.",
    "Der Größenwahn, l'été, mañana, Zażółć gęślą jaźń, Ελληνικά, Русский текст",
    "أين طردي؟ رقم الطلب ٤٤٧١، من فضلكم.",
    "می\u200cخواهم حساب را ببندم؛ نمی\u200cتوانم وارد شوم.",
    "הזמנה \u200f(מס' 12)\u200f לא הגיעה",
    "मुझे क्\u200dषमा करें, पार्सल नहीं आया।",
    "我的包裹在哪里？\u3000订单号是一二三。",
    "パッケージはどこですか。\u3000よろしく。",
    "ฉันต้องการ\u200bคืนเงิน",
    "We are a family 👩\u200d👩\u200d👧\u200d👦 of ❤️\u200d🔥 fans 👋🏽 from 🏴"
    + "\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f and 🇩🇪 🏳️\u200d🌈",
    "Update 2.10.4.1 from 2024-01-15 10:30:45 broke build 1.2.3.4567, score 3:2, ratio 16:9.",
    "Serial number 490154203237518, tracking 1Z999AA10123456784, 12,500.00 EUR, 20-30 of 1000-2000.",
]


@pytest.mark.parametrize("text", CLEAN)
@pytest.mark.parametrize("kind", CLEANERS, ids=NAMES)
def test_clean_text_is_left_byte_for_byte(kind, text):
    assert fitted(kind).propose(text) is None


def test_a_text_with_more_layers_than_anyone_writes_is_left_alone():
    (markup,) = (kind() for kind in CLEANERS if kind.name == "markup")
    assert markup.propose("&" + "amp;" * 5 + "lt;").after == "<"
    assert markup.propose("&" + "amp;" * 50 + "lt;") is None


def test_an_unfitted_cleaner_of_repeated_lines_proposes_nothing():
    assert Boilerplate().propose("Hello\nKind regards, the team") is None
