import json
import lzma

import corpus
import pytest

BOOK = """# Title: The Tin Duck

## Author: Nobody Known

## Year: 1901

-------
*** START OF THE PROJECT GUTENBERG EBOOK THE TIN DUCK ***

CONTENTS

CHAPTER I. The Pond ..... 3
CHAPTER II. The Fox ..... 9

## CHAPTER I - THE POND

[Illustration: a duck of tin]

There was once a duck of tin who stood on the shelf above
the kitchen door, and looked at the pond all day, for it
_could_ not swim.[1]

    O pond, O pond,
    so round and deep,

*** END OF THE PROJECT GUTENBERG EBOOK THE TIN DUCK ***

Section 1. General Terms of Use
"""


def test_a_book_keeps_its_prose_and_loses_all_that_was_put_around_it():
    (book,) = corpus.books(BOOK)
    assert book == {
        "title": "The Tin Duck",
        "author": "Nobody Known",
        "text": (
            "CHAPTER I - THE POND\n\n"
            "There was once a duck of tin who stood on the shelf above the kitchen door, and looked at the pond all "
            "day, for it could not swim.\n\n"
            "O pond, O pond,\nso round and deep,"
        ),
    }


def test_books_of_a_volume_are_parted_at_their_titles():
    two = BOOK + "\n\n" + BOOK.replace("Tin Duck", "Tin Goose")
    assert [book["title"] for book in corpus.books(two)] == ["The Tin Duck", "The Tin Goose"]


@pytest.mark.parametrize(
    ("block", "joined"),
    [
        ("one line", "one line"),
        ("a line of prose that was broken by hand where the page ended\nand goes on", None),
        ("short lines\nof verse\nstay", "short lines\nof verse\nstay"),
        ("  blanks   inside\nare one", "blanks inside\nare one"),
    ],
)
def test_only_hard_wraps_are_joined(block, joined):
    assert corpus.unwrap(block) == (block.replace("\n", " ") if joined is None else joined)


def test_chapter_lines_stay_where_no_contents_heading_stands_before_them():
    assert corpus.drop_contents(["CHAPTER I", "He came in."]) == ["CHAPTER I", "He came in."]


def test_a_table_of_chapters_goes_and_the_heading_of_the_first_stays():
    table = ["Contents", "CHAPTER I\nCHAPTER II", "CHAPTER I", "He came in."]
    assert corpus.drop_contents(table) == ["CHAPTER I", "He came in."]
    assert corpus.drop_contents(["Contents", "CHAPTER I\nCHAPTER II", "3. The end", "He came in."]) == ["He came in."]


def test_control_characters_go_and_line_ends_are_plain():
    assert corpus.tidy("a\x00b\x85\r\nc\rd\u00a0e\u2028f\te\u0301") == "ab\nc\nd ef e\u0301".replace("e\u0301", "é")


def test_emphasis_marks_go_and_names_with_underscores_stay():
    assert corpus.clean_book("He _did_ go, **really**. See file_name_here and 2 * 3 * 4.") == (
        "He did go, really. See file_name_here and 2 * 3 * 4."
    )


def test_tokenised_transcripts_read_as_english_again():
    text = "written/a.txt blog\n\nI do n't know , said Mr. X , but it 's ( nearly ) well- known .\n"
    (document,) = corpus.masc(text)
    assert document["text"] == "I don't know, said Mr. X, but it's (nearly) well-known."


def test_markdown_loses_comments_and_link_targets_and_keeps_code():
    page = "# Loops\n\nSee [the book][book]<!-- ignore --> now.\n\n```rust\nlet x = [1][0];\n```\n\n[book]: ch1.html\n"
    (chapter,) = corpus.rust_book(page + "More about loops. " * 20)
    assert chapter["title"] == "Loops"
    assert "See the book now." in chapter["text"]
    assert "ignore" not in chapter["text"]
    assert "ch1.html" not in chapter["text"]


def test_rows_lose_their_end_mark_and_their_doubles_and_the_long_ones():
    lines = [
        {"prompt": "Say hi.\u2028Now.", "completion": "hi<|endoftext|>"},
        {"prompt": "Say hi.\u2028Now.", "completion": "hi"},
        {"prompt": "x" * corpus.LONGEST_ROW, "completion": "hi"},
        {"prompt": "Say nothing.", "completion": " "},
    ]
    text = "\n".join(json.dumps(line, ensure_ascii=False) for line in lines)
    assert list(corpus.rows(text)) == [{"prompt": "Say hi.Now.", "completion": "hi"}]


def children(number, text="Text."):
    return {"source": "children", "title": f"Book {number}", "author": "A", "text": text}


def test_a_book_is_always_in_the_same_part_and_about_one_in_twelve_is_held_out():
    parts = [corpus.part(children(number)) for number in range(1200)]
    assert parts == [corpus.part(children(number, "Other text.")) for number in range(1200)]
    assert 70 <= parts.count("test") <= 130
    assert 70 <= parts.count("validation") <= 130


def test_sister_rows_of_one_passage_are_in_one_part_whatever_their_templates():
    passage = "It rained. The passage that several questions are asked about has one long sentence. End."
    templates = ("Who?\n{}", 'Given the passage\n\n"{}",\nanswer: Where?', "Context: {} Question: Why is it, then?")
    for number in range(30):
        text = passage.replace("several", f"{number} times several")
        rows = [{"source": "t0", "prompt": each.format(text), "completion": "x"} for each in templates]
        assert len({corpus.part(row) for row in rows}) == 1


def test_other_sources_are_for_training_alone():
    assert {corpus.part({**children(number), "source": "general"}) for number in range(200)} == {"train"}


def test_a_paragraph_of_a_held_out_book_is_taken_out_of_the_training_text(tmp_path):
    held_out = next(children(n) for n in range(100) if corpus.part(children(n)) == "test")
    training = next(children(n) for n in range(100) if corpus.part(children(n)) == "train")
    shared = "This is a long paragraph that two volumes of stories both print word for word."
    documents = [{**held_out, "text": f"Its own.\n\n{shared}"}, {**training, "text": f"First.\n\n{shared}\n\nLast."}]
    counts = corpus.write(documents, tmp_path)
    (kept,) = map(json.loads, (tmp_path / "train.jsonl").read_text().splitlines())
    assert kept["text"] == "First.\n\nLast."
    assert counts["repeated_paragraphs_taken_out"] == 1
    assert counts["held_out_books"] == {"validation": [], "test": [held_out["title"]]}


def test_an_absent_corpus_is_said_with_what_to_do(tmp_path):
    with pytest.raises(corpus.CorpusMissing, match=r"lacks classic_books_children.*python starter/corpus.py FOLDER"):
        list(corpus.read(tmp_path))


def test_every_file_is_read_as_its_source(tmp_path):
    row = json.dumps({"prompt": "Q", "completion": "A"})
    text = {
        "children": BOOK,
        "general": BOOK,
        "stories": "A Story\n\n" + "Word by word. " * 30,
        "masc": "A sentence .",
        "speeches": "Fellow citizens.",
        "rust_book": "# Title\n\n" + "Rust. " * 50,
        "t0": row,
        "dolly": row,
    }
    for name, (source, _) in corpus.SOURCES.items():
        (tmp_path / name).write_bytes(lzma.compress(text[source].encode()))
    assert [document["source"] for document in corpus.read(tmp_path)] == list(text)
