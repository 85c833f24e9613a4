"""The structure that docs/architecture.md describes, checked by parsing the source."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from airflow_provider_yandex_vision.compat import PLACES

ROOT = Path(__file__).parents[1]
PACKAGE = "airflow_provider_yandex_vision"

BELOW = {
    "vision": set[str](),
    "search": {"vision"},
    "hooks": {"vision", "search"},
    "images": {"vision", "search"},
    "results": {"vision", "search"},
    "report": {"vision", "search"},
    "operators": {"vision", "search", "hooks", "images", "results", "report"},
    "emulator": {"vision"},
    "live": {"vision"},
}
"""The rooms that each room may import, apart from itself and the modules next to the rooms."""

DOCUMENTS = (
    "README.md",
    "SECURITY.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/architecture.md",
    "docs/connection.md",
)

MAX_FILE_LINES = 300
MAX_ATTRIBUTES = 15

OTHER_EIGHTS = ("BIT_DEPTH = 8", "MAX_CONCURRENT_REQUESTS = 8", "* 8 >=", "digest[:8]", "content[8:", "content[:8]")
"""Source with an 8 that is not the number of images in a request."""


class Module:
    """A parsed file of the package.

    :param path: relative to the package, such as ``search/pacing.py``.
    """

    def __init__(self, path: Path, source: str) -> None:
        parts = (PACKAGE, *path.with_suffix("").parts)
        self.path = str(path)
        self.name = ".".join(parts).removesuffix(".__init__")
        self.room = path.parts[0] if len(path.parts) > 1 else ""
        self.lines = source.splitlines()
        self.tree = ast.parse(source)

    @cached_property
    def imports(self) -> set[str]:
        """Dotted names of everything the module imports, late and for type checking too."""
        return set(_imports(self.tree, typing=True))

    @cached_property
    def runtime_imports(self) -> set[str]:
        return set(_imports(self.tree, typing=False))

    @cached_property
    def targets(self) -> set[str]:
        """The modules of the package that it imports."""
        return {target for name in self.imports if (target := _module_of(name)) in MODULES}

    @property
    def classes(self) -> Iterator[ast.ClassDef]:
        return (node for node in ast.walk(self.tree) if isinstance(node, ast.ClassDef))


def _imports(node: ast.AST, *, typing: bool) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        if typing or not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield from _imports(child, typing=typing)


def _module_of(name: str) -> str:
    """The module itself, or the one that defines the name."""
    return name if name in MODULES else name.rpartition(".")[0]


def _attributes(cls: ast.ClassDef) -> set[str]:
    """Attributes that change: assigned on self, or fields of a dataclass that is not frozen."""
    stores = (node for node in ast.walk(cls) if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
    assigned = {node.attr for node in stores if ast.unparse(node.value) == "self"}
    decorators = [ast.unparse(decorator) for decorator in cls.decorator_list]
    if any("dataclass" in decorator and "frozen=True" not in decorator for decorator in decorators):
        assigned |= {ast.unparse(node.target) for node in cls.body if isinstance(node, ast.AnnAssign)}
    return assigned - _parameters(cls)


def _parameters(cls: ast.ClassDef) -> set[str]:
    """Parameters of an operator, which Airflow wants as attributes of the same name."""
    if "BaseOperator" not in map(ast.unparse, cls.bases):
        return set()
    init = next(node for node in cls.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    return {argument.arg for argument in init.args.kwonlyargs}


def _read_package() -> list[Module]:
    package = ROOT / PACKAGE
    return [Module(file.relative_to(package), file.read_text()) for file in sorted(package.rglob("*.py"))]


MODULES = {module.name: module for module in _read_package()}
SHIPPED = [module for module in MODULES.values() if module.room != "emulator"]

every_module = pytest.mark.parametrize("module", MODULES.values(), ids=lambda module: module.path)


@every_module
def test_imports_go_down_only(module: Module) -> None:
    allowed = {"", module.room} | (BELOW[module.room] if module.room else set())
    assert {target for target in module.targets if MODULES[target].room not in allowed} == set()


@every_module
def test_imports_are_absolute(module: Module) -> None:
    relative = [node for node in ast.walk(module.tree) if isinstance(node, ast.ImportFrom) and node.level]
    assert relative == []


def test_no_import_cycle_even_for_type_checking() -> None:
    graph = {module.name: module.targets - {module.name} for module in MODULES.values()}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("library", ["airflow", "sqlalchemy", "fsspec"])
def test_vision_and_search_need_no_airflow_sql_or_storage(library: str) -> None:
    users = {module.room for module in MODULES.values() for name in module.imports if name.split(".")[0] == library}
    assert users.isdisjoint({"vision", "search"})


@pytest.mark.parametrize(
    ("library", "importers"),
    [
        ("requests", {"vision/transport.py", "vision/iam.py"}),
        ("jwt", {"vision/iam.py"}),
        ("cryptography", {"vision/iam.py"}),
    ],
)
def test_few_modules_import_what_takes_long(library: str, importers: set[str]) -> None:
    users = {m.path for m in MODULES.values() for name in m.runtime_imports if name.split(".")[0] == library}
    assert users == importers


def test_only_compat_knows_where_airflow_keeps_its_names() -> None:
    places = {place.partition(":")[0] for places in PLACES.values() for place in places}
    users = {module.path for module in MODULES.values() for name in module.imports if name.rpartition(".")[0] in places}
    assert users == {"compat.py"}


def test_common_compat_is_not_needed() -> None:
    """Its releases in official constraints lack some of the names. OpenLineage, which needs it, is optional."""
    users = {
        m.path for m in MODULES.values() for name in m.imports if name.startswith("airflow.providers.common.compat")
    }
    assert users <= {"operators/lineage.py"}


def test_only_vision_knows_the_shape_of_a_request() -> None:
    users = {module.room for module in MODULES.values() if f"{PACKAGE}.vision.wire" in module.targets}
    assert users <= {"vision", "emulator", "live"}


def test_only_vision_knows_the_images_of_a_request() -> None:
    eights = [
        f"{module.path}:{node.lineno}"
        for module in SHIPPED
        if module.room != "vision"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Constant) and type(node.value) is int and node.value == 8
        if not any(other in module.lines[node.lineno - 1] for other in OTHER_EIGHTS)
    ]
    assert eights == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_document_names_only_files_that_exist(document: str) -> None:
    paths = re.findall(r"[\w./-]+/[\w-]+\.(?:md|png|py)\b", (ROOT / document).read_text())
    missing = {path for path in paths if not any((folder / path).exists() for folder in (ROOT, ROOT / PACKAGE))}
    assert missing == set()


@every_module
def test_file_is_short(module: Module) -> None:
    assert len(module.lines) <= MAX_FILE_LINES


@every_module
def test_class_has_few_mutable_attributes(module: Module) -> None:
    too_many = {cls.name: n for cls in module.classes if (n := len(_attributes(cls))) > MAX_ATTRIBUTES}
    assert too_many == {}
