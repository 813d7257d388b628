"""A folder imports only from those before it: the order of the folders is the way the data flows."""

import ast
from pathlib import Path

import pytest

import fewtune

ROOT = Path(fewtune.__file__).parent
ORDER = [
    "errors",
    "seeds",
    "plural",
    "chance",
    "data",
    "audit",
    "augment",
    "backbones",
    "methods",
    "recipe",
    "tune",
    "metrics",
    "study",
    "ensemble",
    "model_folder",
    "writer_folder",
    "report",
    "fitting",
    "preferring",
    "staging",
    "generating",
    "scoring",
    "marking",
    "studying",
    "searching",
    "auditing",
    "preparing",
    "splitting",
    "estimator",
    "classifier",
    "generator",
    "cli",
    "__main__",
    "testing",
]
"""The folders of DESIGN, with the modules beside them where they stand between folders."""
MODULES = sorted(path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py")


def place(module):
    """The folder or module of `fewtune` that a dotted name leads into."""
    return module.split(".")[1]


def imported(path):
    """Everything of fewtune that a file imports, inside functions and for types as well, with line numbers."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative imports hide where a name comes from"
            if node.module == "fewtune":
                yield from ((f"fewtune.{alias.name}", node.lineno) for alias in node.names)
            elif node.module.startswith("fewtune."):
                yield node.module, node.lineno
        elif isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names if alias.name.startswith("fewtune."))


def test_every_folder_has_its_place():
    assert {path.relative_to(ROOT).with_suffix("").parts[0] for path in MODULES} <= set(ORDER)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_run_one_way(path):
    own = path.relative_to(ROOT).with_suffix("").parts[0]
    for module, line in imported(path):
        found = place(module)
        if found in ("__version__", own):
            continue
        assert ORDER.index(found) < ORDER.index(own), f"{path.relative_to(ROOT)}:{line} imports {module}"


def test_the_check_sees_imports_inside_functions():
    seen = {place(module) for module, _ in imported(ROOT / "cli" / "fit.py")}
    assert {"study", "report", "fitting", "data"} <= seen


HEAVY = {"torch", "transformers", "peft", "sklearn", "scipy", "pandas", "pyarrow", "cleanlab", "datasets", "matplotlib"}


@pytest.mark.parametrize("folder", ["data", "cli", "errors.py", "recipe.py", "__init__.py"])
def test_heavy_libraries_are_imported_where_they_are_used(folder):
    """At the top of these files none is: reading a file or asking for help must not wait for torch."""
    for path in [ROOT / folder] if folder.endswith(".py") else sorted((ROOT / folder).rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not {name.split(".")[0] for name in names} & HEAVY, f"{path}:{node.lineno}"
