"""The form of marks as a person uses it: a page in a browser, answers marked by mouse and keys, the file read back."""

import json
import re

import headless
import pytest
from test_written_page import result

from fewtune.cli.main import run
from fewtune.data.preferences import read_preferences
from fewtune.marking import marks
from fewtune.report.html import render

CHROMIUM = headless.found()
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium to open the page with")

SAID = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Which\nshop?"}]
ODD = 'Tell me </script>"><b>now</b> &amp;\r\n  👩‍👩‍👧 مرحبا'
ANSWERS = [
    {"prompt": "Name a shop.", "zero_shot": "a", "few_shot": "A shop.", "winner": "The corner shop."},
    {"prompt": ODD, "zero_shot": "", "few_shot": "First line.\nSecond line.", "winner": ODD},
    {"prompt": "Which\nshop?", "messages": SAID, "zero_shot": "b", "few_shot": "Ours.", "winner": "The second."},
    {"prompt": "Say it again.", "zero_shot": "c", "few_shot": "Again.", "winner": "Again."},
    *({"prompt": f"Row {n}?", "zero_shot": "d", "few_shot": f"no {n}", "winner": f"yes {n}"} for n in range(8)),
]
WAYS = ("zero_shot", "few_shot", "winner")
CALLED = {"zero_shot": "Asked without examples", "few_shot": "Asked with examples", "winner": "Tuned"}
BLIND = "document.querySelector('.marking input')"
AGAINST = "document.querySelector('.marking select')"
SAVE = "document.querySelector('.marking button')"
# What stands there to be read, row by row; what is hidden is not.
READ = """[...document.querySelectorAll('table.sample')].map((table) => [...table.rows]
  .filter((row) => row.offsetHeight).map((row) => [row.cells[0].textContent, row.cells[1].innerText]))"""


def sample(number, given):
    said = {"messages": given["messages"]} if "messages" in given else {}
    answers = {way: given[way] for way in WAYS}
    about = {"row": 1200 + number, "id": f"r{number}", "prompt": given["prompt"], "completion": "given"}
    return about | said | {"answers": answers}


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with headless.browsing(CHROMIUM, tmp_path_factory.mktemp("browser")) as opened:
        try:
            opened.call("Browser.getVersion")
        except (AssertionError, OSError) as error:
            pytest.skip(f"{CHROMIUM} is here and does not start: {error}")
        yield opened


@pytest.fixture
def tab(browser, tmp_path):
    """The page, open; a complaint of the browser about it is a fault."""
    page = tmp_path / "report.html"
    page.write_bytes(render(result(samples=[sample(*one) for one in enumerate(ANSWERS)])).encode())
    opened = headless.Tab(browser, tmp_path)
    opened.look()
    opened.open(page)
    yield opened
    assert opened.complaints() == []


def button(place, mark):
    return f"document.querySelectorAll('table.sample')[{place}].querySelector('[data-mark={mark}]')"


def choose(tab, way):
    """Another system in the list, as a person at the keyboard chooses it: nothing opens, the next one is taken."""
    tab.ask(f"{AGAINST}.focus()")
    while tab.ask(f"{AGAINST}.value") != way:
        before = tab.ask(f"{AGAINST}.value")
        tab.press("ArrowDown")
        assert tab.ask(f"{AGAINST}.value") != before, f"no {way} further down"


def saved(tab):
    tab.click(SAVE)
    return tab.downloaded()


def lines(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_the_page_opens_with_names_in_sight_and_a_form_to_mark(tab):
    shown = tab.ask(READ)
    assert len(shown) == len(ANSWERS)
    assert [name for name, _ in shown[0]] == ["Prompt", "Given", *map(CALLED.get, WAYS), "Your mark"]
    assert tab.ask(f"{SAVE}.disabled")
    assert [text for name, text in shown[1] if name == CALLED["few_shot"]] == ["First line.\nSecond line."]
    assert [text for name, text in shown[2] if name == "Prompt"] == ["system: Be brief.\nuser: Which\nshop?"]


def test_blind_hides_names_and_turns_some_pairs_the_same_way_each_time(tab):
    tab.click(BLIND)
    shown = tab.ask(READ)
    told = "\n".join(cell for table in shown for row in table for cell in row)
    assert not any(name in told for name in CALLED.values())
    assert tab.ask("document.querySelectorAll('tr.chosen').length") == 1, "the ladder's own row alone is coloured"
    first = [next(text for name, text in table if name == "Answer A") for table in shown[4:]]
    assert {text.split()[0] for text in first} == {"yes", "no"}, "A is now the one, now the other"
    assert all(
        [name for name, _ in table] == ["Prompt", "Given", "Answer A", "Answer B", "Your mark"] for table in shown
    )
    assert all(re.fullmatch(r"Answer A is better\s*Answer B is better\s*They are alike", t[-1][1]) for t in shown)
    tab.click(BLIND)
    assert [name for name, _ in tab.ask(READ)[0]][2:5] == list(map(CALLED.get, WAYS))
    tab.click(BLIND)
    assert tab.ask(READ) == shown


def test_what_is_marked_is_what_the_file_holds_and_the_commands_read(tab, tmp_path, monkeypatch, capsys):
    tab.click(button(0, "better"))
    tab.click(BLIND)
    tab.click(button(1, "better"))
    tab.click(button(2, "worse"))
    tab.click(button(3, "tie"))
    for place in range(4, 12):
        tab.click(button(place, "better"))
    assert tab.ask("document.querySelector('.marking output').textContent") == "12 marked"
    path = saved(tab)
    assert path.name == "marks.jsonl"
    rows = lines(path)
    pairs = [(row["row"], row["id"], row["mark"], row["blind"]) for row in rows]
    assert pairs[:4] == [
        (1200, "r0", "better", False),
        (1201, "r1", "better", True),
        (1202, "r2", "worse", True),
        (1203, "r3", "tie", True),
    ]
    assert rows[1]["prompt"] == ODD, "as it was given, line ends and marks of HTML too"
    assert (rows[1]["chosen"], rows[1]["rejected"]) == (ODD, "First line.\nSecond line.")
    assert rows[2]["prompt"] == SAID
    assert (rows[2]["chosen"], rows[2]["rejected"]) == ("Ours.", "The second.")
    assert "chosen" not in rows[3]

    (judged,) = marks(path).judged
    assert (judged.first, judged.second, judged.rows, judged.blind) == ("winner", "few_shot", 12, 11)
    assert (judged.test.better, judged.test.worse, judged.test.ties, judged.test.verdict) == (10, 1, 1, "better")

    kept = tmp_path / "preferences.jsonl"
    monkeypatch.setattr("sys.argv", ["fewtune", "marks", str(path), "--out", str(kept)])
    with pytest.raises(SystemExit) as stopped:
        run()
    assert not stopped.value.code
    assert "The tuned model was marked better 10 times" in capsys.readouterr().out
    for source in (kept, path):
        preferences = read_preferences(source)
        assert len(preferences) == 11
        assert (preferences.examples[0].completion, preferences.examples[0].rejected) == (
            ANSWERS[0]["winner"],
            ANSWERS[0]["few_shot"],
        )
        assert [turn.content for turn in preferences.examples[2].messages] == ["Be brief.", "Which\nshop?", "Ours."]


def test_a_mark_is_taken_back_changed_and_kept_apart_for_each_pair(tab):
    tab.click(button(0, "better"))
    tab.click(button(0, "better"))
    assert tab.ask(f"{SAVE}.disabled"), "pressed twice is taken back"
    tab.click(button(0, "better"))
    tab.click(button(0, "worse"))
    assert tab.ask(f"{button(0, 'worse')}.getAttribute('aria-pressed')") == "true"
    assert tab.ask(f"{button(0, 'better')}.getAttribute('aria-pressed')") == "false"
    choose(tab, "zero_shot")
    assert tab.ask(f"{button(0, 'worse')}.getAttribute('aria-pressed')") == "false", "of the other pair"
    tab.click(button(0, "better"))
    tab.click(button(1, "better"))
    path = saved(tab)
    assert [(row["mark"], row["second"]) for row in lines(path)] == [
        ("worse", "few_shot"),
        ("better", "zero_shot"),
        ("better", "zero_shot"),
    ]
    found = marks(path)
    assert {(one.second, one.rows) for one in found.judged} == {("few_shot", 1), ("zero_shot", 2)}
    assert len(found.preferences) == 2, "an answer with nothing in it makes no pair"


def test_marks_that_are_not_saved_are_not_lost_without_a_word(tab):
    leaves = "dispatchEvent(new Event('beforeunload', { cancelable: true }))"
    assert tab.ask(leaves), "nothing is marked"
    tab.click(button(0, "better"))
    assert not tab.ask(leaves)
    saved(tab)
    assert tab.ask(leaves)


def test_two_equal_answers_can_only_be_alike(tab):
    assert tab.ask(f"[{button(3, 'better')}.disabled, {button(3, 'worse')}.disabled, {button(3, 'tie')}.disabled]") == [
        True,
        True,
        False,
    ]


def test_the_keyboard_is_enough(tab):
    tab.ask(f"{BLIND}.focus()")
    tab.press(" ", " ")
    assert tab.ask(f"{BLIND}.checked")
    tab.ask(f"{button(0, 'tie')}.focus()")
    tab.press("Enter", "\r")
    assert tab.ask(f"{button(0, 'tie')}.getAttribute('aria-pressed')") == "true"
    assert tab.ask("document.activeElement.dataset.mark") == "tie", "the focus stays for the next key"
    assert [(row["mark"], row["blind"]) for row in lines(saved(tab))] == [("tie", True)]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_it_fits_the_screen_and_can_be_read_light_and_dark(tab, dark, width):
    tab.click(button(0, "better"))
    tab.look(width=width, dark=dark)
    assert tab.ask("matchMedia('(prefers-color-scheme: dark)').matches") is dark
    assert tab.ask("document.documentElement.scrollWidth") <= width
    outside = """[...document.querySelectorAll('.marking *, .sample *')].filter((one) => one.offsetHeight
      && one.getBoundingClientRect().right > innerWidth).map((one) => one.outerHTML)"""
    assert tab.ask(outside) == []
    # The contrast of every word of the form against what it stands on, as WCAG reckons it.
    faint = """(() => {
      const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
      const light = (colour) => numbers(colour).slice(0, 3).map((x) => x / 255)
        .map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4))
        .reduce((sum, x, at) => sum + x * [0.2126, 0.7152, 0.0722][at], 0);
      const ground = (one) => {
        for (; one; one = one.parentElement) {
          const [r, g, b, a = 1] = numbers(getComputedStyle(one).backgroundColor);
          if (a) return `rgb(${r}, ${g}, ${b})`;
        }
      };
      return [...document.querySelectorAll('.marking *, .sample *')]
        .filter((one) => one.offsetHeight && !one.disabled)
        .filter((one) => [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim()))
        .filter((one) => {
          const [x, y] = [light(getComputedStyle(one).color), light(ground(one))].sort((a, b) => b - a);
          return (x + 0.05) / (y + 0.05) < 4.5;
        }).map((one) => one.outerHTML);
    })()"""
    assert tab.ask(faint) == []
