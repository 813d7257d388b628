"""The pages cannot lie: generated parts are fresh, blocks marked to run do run, links lead somewhere."""

from __future__ import annotations

import csv
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import pytest
from preloaded import Preloaded

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"<!-- run(?:: (?P<swaps>[^\n]*?))? -->\n```(?P<language>\w+)\n(?P<code>.*?)```", re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)#\s]+)?(?:#(?P<heading>[\w-]+))?\)")
ROWS_A_CLASS = 5


def load_script(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = load_script("docs")
PAGES = {str(page.relative_to(ROOT)): page for page in docs.pages()}


@dataclass(frozen=True)
class Block:
    language: str
    code: str


def runnable(text):
    """The blocks marked to run, their replacements made."""
    found = []
    for match in BLOCK.finditer(text):
        code = match["code"]
        if match["swaps"]:
            old, new = match["swaps"].split(" => ")
            assert old in code, f"nothing to replace: {old}"
            code = code.replace(old, new)
        found.append(Block(match["language"], code))
    return found


@pytest.fixture(scope="module")
def parts():
    return docs.parts()


@pytest.mark.parametrize("name", PAGES)
def test_generated_parts_are_fresh(name, parts):
    text = PAGES[name].read_text(encoding="utf-8")
    assert docs.refreshed(text, parts) == text, f"{name} is stale: run `make docs`"


def test_every_command_method_and_part_stands_on_a_page(parts):
    everything = "\n".join(page.read_text(encoding="utf-8") for page in PAGES.values())
    missing = [name for name in parts if f"<!-- generated: {name} -->" not in everything]
    assert missing == []


@pytest.mark.parametrize("name", [*PAGES, "CHANGELOG.md", "examples/README.md"])
def test_links_lead_somewhere(name):
    page = ROOT / name
    for link in LINK.finditer(page.read_text(encoding="utf-8")):
        target = (page.parent / link["target"]).resolve() if link["target"] else page
        assert target.exists(), f"{name}: {link[0]}"
        if link["heading"]:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert link["heading"] in anchors, f"{name}: {link[0]}"


@pytest.mark.parametrize("name", PAGES)
def test_make_targets_exist(name):
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = set(re.findall(r"(?:^|`)make ([a-z]+)", PAGES[name].read_text(encoding="utf-8"), re.MULTILINE))
    assert asked <= targets


@pytest.fixture(scope="session")
def bench_of_examples(tmp_path_factory):
    """A working folder whose examples are a few rows of each class, so that a fit is a matter of seconds."""
    folder = tmp_path_factory.mktemp("examples")
    (folder / "examples").mkdir()
    for name in ("tickets.csv", "tickets_test.csv", "tickets_unlabelled.csv"):
        _fewer_rows(ROOT / "examples" / name, folder / "examples" / name)
    return folder


def _fewer_rows(source, target):
    taken = defaultdict(int)
    with source.open(encoding="utf-8", newline="") as given, target.open("w", encoding="utf-8", newline="") as kept:
        reader = csv.DictReader(given)
        writer = csv.DictWriter(kept, reader.fieldnames)
        writer.writeheader()
        for row in reader:
            label = row.get("label", "")
            taken[label] += 1
            if taken[label] <= (ROWS_A_CLASS if label else 20):
                writer.writerow(row)


@pytest.fixture(scope="session")
def preloaded():
    server = Preloaded()
    yield server
    server.close()


@pytest.fixture(scope="session")
def shared_cache(tmp_path_factory):
    """Pages use the same rows: what the backbone says of them is computed once."""
    return tmp_path_factory.mktemp("cache-of-pages")


def _run(arguments, folder, text, cache):
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "FEWTUNE_CACHE": str(cache)}
    done = subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False, input=text
    )
    assert done.returncode == 0, f"{text}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.parametrize("name", [name for name, page in PAGES.items() if BLOCK.search(page.read_text("utf-8"))])
def test_marked_blocks_run(name, bench_of_examples, tmp_path, preloaded, shared_cache):
    blocks = runnable(PAGES[name].read_text(encoding="utf-8"))
    shutil.copytree(bench_of_examples, tmp_path, dirs_exist_ok=True)
    shell = "".join(block.code for block in blocks if block.language == "sh")
    python = "\n".join(block.code for block in blocks if block.language == "python")
    assert {block.language for block in blocks} <= {"sh", "python"}
    if shell:
        _run(["bash", "-euo", "pipefail", "-s"], tmp_path, preloaded.functions() + shell, shared_cache)
    if python:
        _run([*preloaded.command("python"), "-"], tmp_path, python, shared_cache)


def test_the_command_is_installed_beside_python(tmp_path):
    installed = shutil.which("fewtune", path=Path(sys.executable).parent)
    assert installed is not None
    assert _run([installed, "--version"], tmp_path, "", tmp_path).startswith("fewtune ")


def test_a_preloaded_process_is_as_one_of_its_own(preloaded, tmp_path):
    """Words, folder, environment, input, output and exit code."""
    code = "import os, sys\nprint(os.getcwd(), os.environ['WHO'], sys.argv, file=sys.stderr)\nsys.exit(7)"
    done = subprocess.run(
        [*preloaded.command("python"), "-"],
        input=code,
        cwd=tmp_path,
        env={"WHO": "jo"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "", f"{tmp_path} jo ['-']\n")
    shell = preloaded.functions() + "fewtune --version && ! fewtune report nowhere"
    assert _run(["bash", "-euo", "pipefail", "-s"], tmp_path, shell, tmp_path).startswith("fewtune ")


def test_a_block_is_found_with_its_replacement():
    text = "<!-- run: big => small -->\n```sh\necho big\n```\n<!-- run -->\n```python\n1\n```\n```sh\nnot this\n```\n"
    assert runnable(text) == [Block("sh", "echo small\n"), Block("python", "1\n")]


def test_a_stale_part_is_written_again():
    text = "a\n<!-- generated: x y -->\nold\n<!-- end -->\nb"
    assert docs.refreshed(text, {"x y": lambda: "new"}) == "a\n<!-- generated: x y -->\nnew\n<!-- end -->\nb"
