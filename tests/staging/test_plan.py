"""A plan: what it may say, what each stage learns and what all are examined on."""

import json

import pytest

from fewtune.data.base import Dataset, Example
from fewtune.data.mixing import said
from fewtune.errors import DataError, TaskError, UnreadableFile, UsageError
from fewtune.staging import Plan, Stage, read_plan
from fewtune.staging.plan import sharing, stage_of, wished
from fewtune.staging.sides import sides


def rows(count, name, start=1, kind="generation"):
    examples = tuple(
        Example(f"{name} {row}", id=str(row), row=row, completion=f"so {row}") for row in range(start, start + count)
    )
    return Dataset(examples, source=f"{name}.jsonl", task=kind)


def plan(*stages, **options):
    return Plan(tuple(stages), out=options.pop("out", None), **options)


def put(path, examples):
    lines = [json.dumps({"prompt": example.prompt, "completion": example.completion}) for example in examples]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_no_prompt_is_held_out_of_one_stage_and_learnt_in_another():
    first, second = rows(40, "a"), rows(40, "a", start=21)  # twenty prompts stand in both
    found = sides(plan(Stage("first", first), Stage("second", second)))
    held = {example.prompt for side in found for example in side.held_out}
    assert not held & {example.prompt for side in found for example in side.train}
    for side, whole in zip(found, (first, second), strict=True):
        assert 4 <= len(side.held_out) <= 16
        assert set(side.train) | set(side.held_out) == set(whole)


def test_a_test_file_spares_the_rows_and_loses_those_that_are_learnt():
    first = rows(20, "a")
    test = Dataset((*rows(5, "t").examples, first.examples[0]), task="generation")
    (one, other) = sides(plan(Stage("first", first, test), Stage("second", rows(20, "b"))))
    assert len(one.train) == 20
    assert (len(one.held_out), one.left_out) == (5, 1)
    assert len(other.train) + len(other.held_out) == 20
    with pytest.raises(TaskError, match=r"a\.jsonl: Stage first has no row left to be examined on"):
        sides(plan(Stage("first", first, first), Stage("second", rows(20, "b"))))


def test_one_prompt_of_many_rows_is_not_all_that_is_examined():
    many = tuple(Example("bye", id=str(row), row=row, completion=f"bye {row}") for row in range(100, 120))
    first = Dataset((*rows(40, "a").examples, *many), task="generation")
    (one, _) = sides(plan(Stage("first", first), Stage("second", rows(20, "b"))))
    assert len({example.prompt for example in one.held_out}) == len(one.held_out) == 12
    lone = Dataset((*many, Example("hello", id="1", row=1, completion="hello")), task="generation")
    (one, _) = sides(plan(Stage("first", lone), Stage("second", rows(20, "b"))))
    assert {example.prompt for example in one.train} == {"bye"}


def test_same_seed_same_sides():
    stages = [Stage("first", rows(30, "a")), Stage("second", rows(30, "b"))]
    one, again, other = (sides(plan(*stages, seed=seed)) for seed in (1, 1, 2))
    assert [side.held_out for side in one] == [side.held_out for side in again]
    assert {said(example) for example in one[0].held_out} != {said(example) for example in other[0].held_out}


@pytest.mark.parametrize(
    ("stages", "options", "said"),
    [
        ([("a", "generation")], {}, "two or more"),
        ([("a", "generation"), ("a", "generation")], {}, "same name"),
        ([("a", "generation"), ("b", "classification")], {}, "b has labelled rows"),
        ([("a", "generation"), ("b", "generation")], {"methods": ("magic",)}, "no method called 'magic'"),
        (
            [("a", "generation"), ("b", "generation")],
            {"methods": ("ia3", "prefix_tuning")},
            "beside the model's weights",
        ),
        ([("a", "generation"), ("b", "generation")], {"changes": ("lora.nothing=3",)}, "no setting 'nothing'"),
        ([("a", "generation"), ("b", "generation")], {"replay_share": 1.0}, "between 0 and 1"),
        ([("a", "generation"), ("b", "generation")], {"budget": "soon"}, "no length of time"),
    ],
)
def test_what_cannot_be_meant_is_refused_before_any_work(stages, options, said):
    with pytest.raises(UsageError, match=said):
        plan(*[Stage(name, rows(20, name, kind=kind)) for name, kind in stages], **options)


def test_a_learned_prompt_may_come_last():
    plan(Stage("a", rows(20, "a"), methods=("lora",)), Stage("b", rows(20, "b"), methods=("prompt_tuning",)))


def test_a_plan_is_read_from_toml(tmp_path):
    put(tmp_path / "a.jsonl", rows(8, "a"))
    put(tmp_path / "b.jsonl", rows(8, "b"))
    put(tmp_path / "t.jsonl", rows(3, "t"))
    (tmp_path / "plan.toml").write_text(
        'backbone = "X"\nreplay = "earlier"\nreplay_share = 0.1\nmethod = "lora"\nprobe_prompts = "p.txt"\n'
        '[[stage]]\ntrain = "a.jsonl"\nset = ["lora.epochs=3"]\n'
        '[[stage]]\nname = "second"\ntrain = "b.jsonl"\ntest = "t.jsonl"\nmethod = ["full"]\n',
        encoding="utf-8",
    )
    wish = wished([str(tmp_path / "plan.toml")])
    read = [stage_of(one) for one in wish.stages]
    found = sharing(plan(*read, out=tmp_path), wish.shared)
    assert [stage.name for stage in found.stages] == ["a", "second"]
    assert (found.backbone, found.replay, found.replay_share, found.general) == ("X", ("earlier",), 0.1, "p.txt")
    assert [found.methods_of(stage) for stage in found.stages] == [("lora",), ("full",)]
    assert found.changes_of(found.stages[0]) == ("lora.epochs=3",)
    assert len(found.stages[1].test) == 3
    assert found.folder(2) == tmp_path / "2-second"
    assert json.loads(json.dumps(found.to_json()))["stages"][1]["name"] == "second"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("what is this", "no plan"),
        ("seed = 1", r"no \[\[stage\]\]"),
        ("[[stage]]\nname = 'a'", "Stage 1 names no train file"),
        ("speed = 1\n[[stage]]\ntrain = 'a'", "key 'speed'.*Known: backbone"),
        ("seed = 'one'\n[[stage]]\ntrain = 'a'", "seed of the plan is no int"),
        ("[[stage]]\ntrain = 3", "train of a stage is no str"),
    ],
)
def test_a_plan_that_says_nothing_is_refused_with_its_file(tmp_path, text, said):
    path = tmp_path / "plan.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=said) as caught:
        read_plan(path)
    assert "plan.toml" in str(caught.value)
    with pytest.raises(UnreadableFile):
        read_plan(tmp_path / "none.toml")
