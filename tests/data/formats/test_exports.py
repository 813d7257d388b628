"""Exports as the tools write them, annotators who disagree, and files that are not what they seem."""

import json

import pytest

from fewtune import Dataset, Example, read
from fewtune.data.convert import convert
from fewtune.errors import DataError, UsageError

LS = {"from_name": "sentiment", "to_name": "text", "type": "choices"}


def task(number, text, *answers, **more):
    annotations = [
        {"result": [{**LS, "value": {"choices": list(chosen)}}], "completed_by": n, **more.get("about", {})}
        for n, chosen in enumerate(answers)
    ]
    return {"id": number, "data": {"text": text, "shop": "A"}, "annotations": annotations, "predictions": []}


def test_label_studio_with_annotators_who_disagree(read_records):
    records = [
        task(11, "good", ["pos"], ["pos"], ["neg"]),
        task(12, "bad", ["neg"], ["neg"]),
        task(13, "so so", ["pos"], ["neg"]),
        task(14, "fine", ["pos"]),
        task(15, "both", ["pos", "neg"]),
        task(16, "nobody saw it"),
    ]
    dataset = read_records(records)
    assert [(example.id, example.text, example.label) for example in dataset] == [
        ("11", "good", "pos"),
        ("12", "bad", "neg"),
        ("14", "fine", "pos"),
    ]
    assert dataset.examples[0].fields["agreement"] == "0.67"
    assert dataset.examples[0].fields["annotations"] == "3"
    notes = " ".join(dataset.notes)
    assert "Format: Label Studio JSON." in notes
    assert "3 rows have several annotations" in notes
    assert "All agree in 1 of them" in notes
    assert "tied between labels, with none until somebody decides: row 3 (neg or pos)" in notes
    assert "several labels at once" in notes
    assert "3 of 6 rows have no label and are left out: rows 3, 5, 6." in notes


def test_label_studio_cancelled_and_ground_truth(read_records):
    records = [task(1, "a", ["x"], ["x"], ["y"]), task(2, "b", ["x"]), task(3, "c", ["y"])]
    records[0]["annotations"][2]["ground_truth"] = True
    records[1]["annotations"].append({"result": [{**LS, "value": {"choices": ["y"]}}], "was_cancelled": True})
    assert read_records(records).labels == ["y", "x", "y"]


def test_label_studio_of_several_questions_asks_which(read_records):
    records = [task(n, f"text {n}", ["pos"] if n % 2 else ["neg"]) for n in range(4)]
    for record in records:
        rating = {"from_name": "stars", "to_name": "text", "type": "rating", "value": {"rating": 1 + record["id"] % 2}}
        record["annotations"][0]["result"].append(rating)
    with pytest.raises(DataError, match="several questions: 'sentiment', 'stars'"):
        read_records(records)
    assert read_records(records, label="stars").classes == ("1", "2")
    with pytest.raises(DataError, match="no question 'mood'"):
        read_records(records, label="mood")


def test_label_studio_taxonomies_are_paths(read_records):
    answer = {"from_name": "t", "to_name": "text", "type": "taxonomy"}
    records = [
        {"data": {"text": f"text {n}"}, "annotations": [{"result": [{**answer, "value": {"taxonomy": [["a", kind]]}}]}]}
        for n, kind in enumerate("bcbc")
    ]
    assert read_records(records).classes == ("a/b", "a/c")


def test_argilla_two_and_one_and_the_old_one(read_records):
    two = [
        {"id": f"r{n}", "fields": {"text": f"text {n}"}, "metadata": {"shop": "A"}, "vectors": {},
         "suggestions": {"label": {"value": "c", "score": 0.9, "agent": "model"}},
         "responses": {"label": [{"value": kind, "user_id": "u1"}, {"value": kind, "user_id": "u2"}]}}
        for n, kind in enumerate("abab")
    ]  # fmt: skip
    one = [
        {"fields": {"text": f"text {n}"}, "external_id": f"r{n}", "metadata": {"shop": "A"}, "suggestions": [],
         "responses": [{"values": {"label": {"value": kind}}, "status": "submitted", "user_id": "u"},
                       {"values": {"label": {"value": "c"}}, "status": "discarded", "user_id": "v"}]}
        for n, kind in enumerate("abab")
    ]  # fmt: skip
    old = [
        {"id": f"r{n}", "inputs": {"text": f"text {n}"}, "annotation": kind, "prediction": [["c", 0.5]],
         "metadata": {"shop": "A"}, "status": "Validated"}
        for n, kind in enumerate("abab")
    ]  # fmt: skip
    for records in (two, one, old):
        dataset = read_records(records)
        assert dataset.labels == list("abab")
        assert [example.id for example in dataset] == ["r0", "r1", "r2", "r3"]
        assert dataset.examples[0].fields["shop"] == "A"
        assert "Format: Argilla records." in dataset.notes


def test_spacy_categories(read_records):
    records = [{"text": f"text {n}", "cats": {"a": float(n % 2), "b": float(1 - n % 2)}} for n in range(4)]
    records.append({"text": "neither", "cats": {"a": 0.0, "b": 0.0}})
    records.append({"text": "both", "cats": {"a": 1, "b": 1}})
    dataset = read_records(records, "rows.jsonl")
    assert dataset.labels == ["b", "a", "b", "a"]
    assert any("several labels at once" in note for note in dataset.notes)


def test_prodigy_choices_and_single_labels_of_several_annotators(read_records):
    def choice(text, kind, number, who, answer="accept"):
        return {"text": text, "options": [{"id": "a"}, {"id": "b"}], "accept": [kind], "answer": answer,
                "_input_hash": number, "_task_hash": number, "_annotator_id": who}  # fmt: skip

    records = [
        choice("one", "a", 1, "x"), choice("one", "a", 1, "y"), choice("one", "b", 1, "z"),
        choice("two", "b", 2, "x"), choice("two", "a", 2, "y", answer="ignore"),
        {"text": "three", "label": "a", "answer": "accept", "_input_hash": 3},
        {"text": "four", "label": "a", "answer": "reject", "_input_hash": 4},
    ]  # fmt: skip
    dataset = read_records(records, "rows.jsonl")
    assert [(example.text, example.label) for example in dataset] == [("one", "a"), ("two", "b"), ("three", "a")]
    assert not any(name.startswith("_") for name in dataset.examples[0].fields)
    assert any("1 answer rejects a label" in note for note in dataset.notes)


def test_alpaca_with_input_system_and_history(read_records):
    records = [
        {"instruction": "Translate.", "input": "Hund", "output": "dog"},
        {"instruction": "Go on.", "input": "", "output": "yes", "system": "Be short.", "history": [["hi", "hello"]]},
    ]
    dataset = read_records(records)
    assert dataset.task == "generation"
    first, second = dataset.examples
    assert (first.prompt, first.completion, first.messages) == ("Translate.\n\nHund", "dog", ())
    assert [turn.role for turn in second.messages] == ["system", "user", "assistant", "user", "assistant"]


def test_alpaca_is_written_in_the_parts_it_was_read_in(read_records, tmp_path):
    records = [{"instruction": "Translate.", "input": "Hund", "output": "dog"}]
    done = convert(read_records(records), tmp_path / "out.json", to="alpaca")
    assert json.loads(done.path.read_text()) == records
    assert done.lost == ()


def test_chat_with_content_in_parts_and_without_an_answer(read_records):
    parts = [{"type": "text", "text": "one"}, {"type": "image_url"}, {"type": "text", "text": "two"}]
    records = [
        {"messages": [{"role": "user", "content": parts}, {"role": "assistant", "content": "ok"}]},
        {"messages": [{"role": "user", "content": "nobody answered"}]},
    ]
    dataset = read_records(records, "rows.jsonl")
    assert [(example.prompt, example.completion) for example in dataset] == [
        ("one\ntwo", "ok"),
        ("nobody answered", None),
    ]


def test_sharegpt_roles_are_ours(read_records):
    said = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]
    dataset = read_records([{"id": "c7", "system": "Be kind.", "conversations": said}])
    assert [(turn.role, turn.content) for turn in dataset.examples[0].messages] == [
        ("system", "Be kind."), ("user", "hi"), ("assistant", "hello"),
    ]  # fmt: skip
    assert dataset.examples[0].id == "c7"


def test_prompts_whose_completions_are_classes_are_read_as_such_when_asked(read_records):
    records = [{"prompt": f"text {n}", "completion": "ab"[n % 2]} for n in range(6)]
    assert read_records(records, "rows.jsonl").task == "generation"
    for options in ({"task": "classification"}, {"text": "prompt", "label": "completion"}, {"label": "completion"}):
        dataset = read_records(records, "rows.jsonl", **options)
        assert dataset.task == "classification"
        assert dataset.labels == list("ababab")


def test_a_table_is_read_for_generation_when_asked(tmp_path):
    (tmp_path / "t.csv").write_text("question,answer\nwhy?,because\nhow?,so\n")
    dataset = read(tmp_path / "t.csv", text="question", label="answer", task="generation")
    assert [(example.prompt, example.completion) for example in dataset] == [("why?", "because"), ("how?", "so")]
    with pytest.raises(DataError, match="no column 'reply'"):
        read(tmp_path / "t.csv", text="question", label="reply", task="generation")
    with pytest.raises(UsageError, match="no task 'poetry'"):
        read(tmp_path / "t.csv", task="poetry")


def test_from_memory_and_parquet_too(tmp_path):
    said = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    import datasets

    loaded = datasets.Dataset.from_list([{"messages": said}, {"messages": said}])
    loaded.to_parquet(tmp_path / "chat.parquet")
    for source in ([{"messages": said}, {"messages": said}], loaded, tmp_path / "chat.parquet"):
        dataset = read(source)
        assert dataset.task == "generation"
        assert dataset.examples[1].completion == "hello"


def test_a_table_with_a_column_of_a_formats_name_stays_a_table(tmp_path):
    (tmp_path / "t.csv").write_text("answer,prompt,label\nyes,where is it,a\nno,money back,b\nyes,late,a\n")
    dataset = read(tmp_path / "t.csv")
    assert (dataset.task, dataset.text_column, dataset.label_column) == ("classification", "prompt", "label")


def test_a_mixed_file_is_no_format(read_records):
    with pytest.raises(DataError):
        read_records([task(1, "a", ["x"]), {"data": 3}])


def test_saved_datasets(tmp_path):
    import datasets

    rows = Dataset(tuple(Example(f"text {n}", "ab"[n % 2], id=str(n + 1)) for n in range(4)))
    convert(rows, tmp_path / "one", to="hub")
    loaded = datasets.load_from_disk(str(tmp_path / "one"))
    assert loaded.features["label"].names == ["a", "b"]
    assert read(tmp_path / "one").labels == list("abab")
    datasets.DatasetDict({"train": loaded, "test": loaded}).save_to_disk(str(tmp_path / "two"))
    with pytest.raises(DataError, match="several splits: train, test"):
        read(tmp_path / "two")
    assert len(read(tmp_path / "two" / "train")) == 4
    for arrow in (tmp_path / "one").glob("*.arrow"):
        arrow.write_bytes(b"torn")
    with pytest.raises(DataError, match="cannot be read"):
        read(tmp_path / "one")


def test_a_folder_of_other_files_is_not_replaced(tmp_path):
    from fewtune.errors import StoreError

    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(StoreError, match="other files"):
        convert(Dataset((Example("a", "x"),)), tmp_path / "mine", to="hub")
    assert (tmp_path / "mine" / "letter.txt").read_text() == "dear"


def test_what_cannot_be_meant(tmp_path):
    rows = Dataset((Example("a", completion="b"),), task="generation")
    with pytest.raises(UsageError, match=r"hold labels.*chat, sharegpt"):
        convert(rows, tmp_path / "a.json", to="label-studio")
    with pytest.raises(UsageError, match="no format called 'xml'"):
        convert(rows, tmp_path / "a.xml", to="xml")
    with pytest.raises(UsageError, match="--to"):
        convert(rows, tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"ends in \.csv"):
        convert(rows, tmp_path / "a.json", to="csv")


def test_labels_become_completions_and_what_is_lost_is_named(tmp_path):
    rows = Dataset(tuple(Example(f"text {n}", "ab"[n % 2], id=f"r{n}", group="g") for n in range(3)))
    done = convert(rows, tmp_path / "chat.jsonl", to="chat")
    line = json.loads(done.path.read_text().splitlines()[0])
    assert line == {"messages": [{"role": "user", "content": "text 0"}, {"role": "assistant", "content": "a"}]}
    assert [sentence.split(" cannot hold the ")[1] for sentence in done.lost] == [
        "ids of 3 of 3 rows.",
        "groups of 3 of 3 rows.",
    ]
    assert read(done.path, task="classification").labels == ["a", "b", "a"]
