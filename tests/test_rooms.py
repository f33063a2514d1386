"""The rooms import only from rooms above them, and `import toolkit` loads nothing heavy."""

import ast
import subprocess
import sys
from importlib.util import resolve_name
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("tables", "evaluation", "inputs", "models", "training", "sequences", "autoencoders", "semisupervised", "recipes",
         "cli")
FORBIDDEN = {("models", "inputs")}  # above, but kept apart all the same
CONTROLS = {"linear_probe", "fine_tune"}
MODULES = sorted(path.relative_to(ROOT) for top in ("toolkit", "recipes") for path in (ROOT / top).rglob("*.py"))


def imports(nodes: list[ast.AST], package: str) -> set[str]:
    """Dotted names that these nodes import, the names after `from ... import` included."""
    names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    for node in (node for node in nodes if isinstance(node, ast.ImportFrom)):
        module = resolve_name("." * node.level + (node.module or ""), package)
        names |= {f"{module}.{alias.name}" for alias in node.names}
    return names


def room(name: str) -> str | None:
    """Room of a dotted name: `toolkit.tables.table` -> `tables`; None for other packages and for `toolkit` itself."""
    top, second = (name.split(".") + [""])[:2]
    return top if top == "recipes" else second if top == "toolkit" and second in ROOMS else None


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_module_imports_only_from_rooms_above(path: Path) -> None:
    package = ".".join(path.parent.parts)
    tree, own = ast.parse((ROOT / path).read_text(encoding="utf-8")), room(".".join(path.with_suffix("").parts))
    names = imports(list(ast.walk(tree)), package)
    if own is not None:
        allowed = {above for above in ROOMS[: ROOMS.index(own) + 1] if (own, above) not in FORBIDDEN}
        assert not {name for name in names if room(name) and room(name) not in allowed}
    if own == "recipes" and path.stem not in {"benchmark", "learning_curve"}:
        assert {name.split(".")[1] for name in names if room(name) == "recipes"} <= CONTROLS
    if own in {"tables", "evaluation"}:
        assert not {name for name in names if name.split(".")[0] == "keras"}
        assert not {name for name in imports(tree.body, package) if name.split(".")[0].startswith("tensorflow")}


@pytest.mark.parametrize(
    ("modules", "heavy"),
    [
        ("toolkit", {"numpy", "pandas", "scipy", "sklearn", "PIL", "tensorflow", "keras"}),
        ("toolkit.tables, toolkit.evaluation", {"tensorflow", "keras", "tensorflow_datasets"}),
    ],
)
def test_import_loads_nothing_heavy(modules: str, heavy: set[str]) -> None:
    code = f"import sys, {modules}; print(*sorted({heavy!r} & set(sys.modules)))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert loaded.split() == []
