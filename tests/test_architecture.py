"""What holds for the whole package, read from its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import jobs

PACKAGE = Path(jobs.__file__).parent
MODULES = {str(path.relative_to(PACKAGE)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}


def imports(tree: ast.AST) -> Iterator[str]:
    """Yield the top-level names of what is imported anywhere below a node."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (each.name.partition(".")[0] for each in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def functions_that_import(source: str, package: str) -> set[str]:
    """Return the names of the innermost top-level functions that import a package; `<module>` for the rest."""
    found = set()
    for node in ast.parse(source).body:
        if package in imports(node):
            found.add(node.name if isinstance(node, ast.FunctionDef) else "<module>")
    return found


def test_only_tracking_and_the_model_files_know_mlflow() -> None:
    """Another tracking server would be another `tracking`, and nothing else."""
    users = {name: functions_that_import(source, "mlflow") for name, source in MODULES.items()}
    outside = {name: found for name, found in users.items() if found and not name.startswith("tracking/")}
    assert set(outside) == {"pipelines/cnn/__init__.py", "pipelines/random_forest/saving.py"}
    assert [name for name in set().union(*outside.values()) if not re.search("save|load|signature", name)] == []


def test_only_the_command_line_knows_click() -> None:
    """Everything below can be called without one."""
    assert [name for name, source in MODULES.items() if "click" in imports(ast.parse(source))] == ["cli.py"]


def test_nothing_prints() -> None:
    """The result goes to stdout by the command line, all else through the console."""
    printing = {
        f"{name}:{node.lineno}"
        for name, source in MODULES.items()
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print"
    }
    assert printing == set()


def test_no_file_is_too_long_to_be_read_at_once() -> None:
    """Three hundred lines are many."""
    lengths = {name: source.count("\n") for name, source in MODULES.items()}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_every_module_says_what_it_is_for() -> None:
    """Each begins with its one responsibility."""
    assert [name for name, source in MODULES.items() if not ast.get_docstring(ast.parse(source))] == []
