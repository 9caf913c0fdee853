"""The rooms import only from those above them, and importing the package is cheap."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lxt_like

PACKAGE = Path(lxt_like.__file__).parent

# every room may import those before it
ROOMS = """
    lazy errors numerics explanation rules composites intercept nn patch ledger watched observe
    accounts classes outputs targets attribution methods render explain evaluate demo cli
""".split()
HEAVY = (
    "transformers",
    "matplotlib",
    "rich",
    "jinja2",
    "datasets",
    "pandas",
    "accelerate",
    "typer",
)
# rules that need a model's weights at hand live above the rooms; the front door and -m see all
FREE = {"__init__", "__main__"}


def imported(path: Path, package: Path) -> Iterator[tuple[str, int, bool]]:
    """(room or library, line, at the top of the file) of each import in a file."""
    tree = ast.parse(path.read_text())
    top = {id(node) for node in tree.body}
    guarded = {
        id(child)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for child in ast.walk(node)
    }
    parents = path.relative_to(package).parts[:-1]
    for node in ast.walk(tree):
        if id(node) in guarded:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                first, *rest = alias.name.split(".")
                ours = first == package.name and rest
                yield (rest[0] if ours else first), node.lineno, id(node) in top
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node, parents, package, id(node) in top)


def _from(
    node: ast.ImportFrom, parents: tuple[str, ...], package: Path, top: bool
) -> Iterator[tuple[str, int, bool]]:
    module = (node.module or "").split(".") if node.module else []
    if not node.level:
        if module[0] != package.name:
            yield module[0], node.lineno, top
            return
        module = module[1:]
    else:
        module = [*parents[: len(parents) - node.level + 1], *module]
    if module:
        yield module[0], node.lineno, top
    else:
        for alias in node.names:
            yield alias.name, node.lineno, top


def room_of(path: Path, package: Path) -> str:
    return path.relative_to(package).parts[0].removesuffix(".py")


def violations(package: Path) -> list[str]:
    found = []
    names = {p.name.removesuffix(".py") for p in package.iterdir() if p.name[0] not in "_."}
    for path in sorted(package.rglob("*.py")):
        room = room_of(path, package)
        if room in FREE:
            continue
        for target, line, _ in imported(path, package):
            if target not in names or target == room:
                continue
            if room not in ROOMS or ROOMS.index(target) > ROOMS.index(room):
                found.append(f"{path.relative_to(package)}:{line} imports {target}")
    return found


def early(package: Path) -> list[str]:
    """Heavy libraries imported at the top of a file."""
    return [
        f"{path.relative_to(package)}:{line} imports {target}"
        for path in sorted(package.rglob("*.py"))
        for target, line, top in imported(path, package)
        # only the command line imports the room cli, and that is made of typer
        if top and target in HEAVY and not (target == "typer" and room_of(path, package) == "cli")
    ]


def test_every_room_has_its_place() -> None:
    rooms = {room_of(p, PACKAGE) for p in PACKAGE.rglob("*.py")} - FREE
    assert rooms <= set(ROOMS)


def test_rooms_import_upwards_only() -> None:
    assert violations(PACKAGE) == []


def test_heavy_libraries_are_imported_where_they_are_used() -> None:
    assert early(PACKAGE) == []


@pytest.mark.parametrize(
    ("file", "line", "caught"),
    [
        ("rules/linear.py", "from ..patch import patch", True),
        ("rules/linear.py", "from .. import patch", True),
        ("rules/linear.py", "import lxt_like.patch.install", True),
        ("rules/linear.py", "def f():\n    from lxt_like.patch import patch", True),
        ("intercept/handlers/norm.py", "from ...patch.inputs import Inputs", True),
        ("numerics.py", "from .rules import Rule", True),
        ("numerics.py", "from .errors import LxtError", False),
        ("rules/linear.py", "from ..errors import RuleError", False),
        ("intercept/handlers/norm.py", "from ..registry import handles", False),
        ("patch/patch.py", "from ..intercept import Session", False),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, file: str, line: str, caught: bool) -> None:
    package = tmp_path / "lxt_like"
    for path in PACKAGE.rglob("*.py"):
        copy = package / path.relative_to(PACKAGE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text("")
    (package / file).write_text(line + "\n")
    assert bool(violations(package)) == caught


def test_a_planted_heavy_import_is_found(tmp_path: Path) -> None:
    package = tmp_path / "lxt_like"
    package.mkdir()
    (package / "numerics.py").write_text("def f():\n    import rich\n")
    assert early(package) == []
    (package / "numerics.py").write_text("from rich.text import Text\n")
    assert early(package) == ["numerics.py:1 imports rich"]


def test_importing_the_package_imports_no_heavy_library() -> None:
    code = (
        "import sys, torch; before = set(sys.modules); import lxt_like;"
        "print(*sorted({m.split('.')[0] for m in set(sys.modules) - before}))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PACKAGE.parent,
    )
    assert "lxt_like" in run.stdout.split()
    assert not set(HEAVY) & set(run.stdout.split())


def test_exports_exist() -> None:
    import lxt_like.composites
    import lxt_like.rules

    for module in (lxt_like, lxt_like.rules, lxt_like.composites):
        assert list(module.__all__) == sorted(module.__all__, key=_order)
        for name in module.__all__:
            assert getattr(module, name) is not None


def _order(name: str) -> tuple[int, str]:
    """As linters sort: constants, classes, functions."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2), name
