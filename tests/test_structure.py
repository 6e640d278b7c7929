"""The rules of the code: names, sizes, where things may stand, which way imports run."""

import ast
import collections
import pathlib
import re

import pytest

pytestmark = pytest.mark.framework_free

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "keras_roformer"
MOST_LINES = 560  # of a file
MOST_CODE_LINES = 50  # of a function, without docstring, comments and blank lines

# From the bottom: a room imports its own modules and those of the floors below it.
FLOORS = (
    "version limits arrays batches entities records masking declare config_fields backend saving",
    "upstream keras_saves outputs",
    "layers",
    "callbacks",
    "weights",
    "hub",
    "config",
    "tokenizers tasks generation",
    "resizing",
    "facades models auto_models hub_hook viz",
    "pipelines convert",
    "training",
    "fine_tuning",
    "cli",
    "__init__ __main__",
)
FRAMEWORKS = {"keras", "keras_hub", "torch", "jax", "flax", "tensorflow", "transformers"}
# Rooms and files whose import imports no framework; a function may, when it is called.
FRAMEWORK_FREE = (
    *("tokenizers", "hub.py", "config.py", "limits.py", "saving.py", "batches.py", "outputs.py"),
    *(
        "cli",
        "pipelines/__init__.py",
        "weights/formats",
        "weights/layouts.py",
        "weights/checkpoint.py",
        "__init__.py",
    ),
)
PRIVATE_PLACES = re.compile(
    r"\bkeras\.src\b|\bkeras_hub\.src\b|\btorch\._C\b|\btorch\.ops\.mkldnn\b"
)
PRIVATE_NAMES = set(
    """_flatten_layers _tracker _dtype_policy _post_build _initial_epoch _untrack_variable
    _maybe_symbolic_build _aggregate_additional_loss _distribute_strategy _compile_loss
    _compile_metrics _forward_hooks _forward_pre_hooks _global_forward_hooks _torch_params
    """.split()
)


def docstring_of(node):
    body = getattr(node, "body", None)
    first = body[0] if isinstance(body, list) and body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first if isinstance(first.value.value, str) else None
    return None


def without_docstrings(tree):
    for node in ast.walk(tree):
        if docstring_of(node):
            node.body = node.body[1:] or [ast.Pass()]
    return tree


SOURCES = {p.relative_to(PACKAGE).as_posix(): p.read_text("utf-8") for p in PACKAGE.rglob("*.py")}
TREES = {path: without_docstrings(ast.parse(text)) for path, text in sorted(SOURCES.items())}
CODE = {path: ast.unparse(tree) for path, tree in TREES.items()}  # no comments, single quotes


def only_in(pattern, *places):
    """The lines of code that match, outside of files and folders."""
    for path, code in CODE.items():
        if not path.startswith(places or ("no place",)):
            for line in code.splitlines():
                if re.search(pattern, line):
                    yield path, line.strip()


def imports(path, whole=True):
    """Modules that a file imports by absolute names; the lazy ones too if `whole`."""
    tree = TREES[path]
    for node in ast.walk(tree) if whole else top_level(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{name.name}" for name in node.names)


def top_level(tree):
    """Statements that run when a module is imported."""
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            yield node
            yield from top_level(node)


def file_of(name):
    """The file of a module of the package, or of the module that has the name."""
    parts = name.split(".")[1:]
    for count in range(len(parts), -1, -1):
        for path in ("/".join([*parts[:count], "__init__.py"]), "/".join(parts[:count]) + ".py"):
            if path in TREES:
                return path
    return None


def room_of(path):
    return path.partition("/")[0].removesuffix(".py")


def code_lines(path, function):
    lines = SOURCES[path].splitlines()[function.lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


def names_are_unique():
    stems = collections.defaultdict(list)
    for path in TREES:
        stems[pathlib.PurePath(path).stem].append(path)
    for stem, paths in stems.items():
        if len(paths) > 1 and stem != "__init__":
            yield from ((path, f"the name {stem} is used {len(paths)} times") for path in paths)


def functions_are_short():
    for path, text in SOURCES.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines, docstring = code_lines(path, node), docstring_of(node)
                lines -= code_lines(path, docstring) if docstring else 0
                if lines > MOST_CODE_LINES:
                    yield path, f"{node.name} has {lines} lines"


def files_are_short():
    for path, text in SOURCES.items():
        lines = len(text.splitlines())
        if lines > MOST_LINES:
            yield path, f"{lines} lines"


def private_api_stands_in_upstream():
    yield from only_in(PRIVATE_PLACES, "upstream/")
    for path, tree in TREES.items():
        for node in ast.walk(tree) if not path.startswith("upstream/") else ():
            for field in ("attr", "id", "name", "value", "arg"):
                if isinstance(name := getattr(node, field, None), str) and name in PRIVATE_NAMES:
                    yield path, name


def imports_are_absolute():
    for path, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.level:
                yield path, ast.unparse(node)


def imports_run_one_way():
    floor = {room: n for n, rooms in enumerate(FLOORS) for room in rooms.split()}
    for path in TREES:
        room = room_of(path)
        if room not in floor:
            yield path, f"{room} stands on no floor"
            continue
        for name in imports(path):
            target = file_of(name) if name.startswith("keras_roformer.") else None
            other = target and room_of(target)
            # The package itself gives its public names, whichever room they are in.
            if other and other not in (room, "__init__") and floor.get(other, 99) >= floor[room]:
                yield path, f"imports {name}"


def framework_free_files_import_no_framework():
    def reached(path, seen):
        if path in seen:
            return
        seen.add(path)
        for name in imports(path, whole=False):
            if name.partition(".")[0] in FRAMEWORKS:
                yield path, f"imports {name}"
            elif name.startswith("keras_roformer"):
                parts = name.split(".")
                for count in range(1, len(parts) + 1):
                    if target := file_of(".".join(parts[:count])):
                        yield from reached(target, seen)

    for path in TREES:
        if path.startswith(FRAMEWORK_FREE):
            for where, what in reached(path, set()):
                yield path, f"{where} {what}"


RULES = {
    "names are unique": names_are_unique,
    "functions are short": functions_are_short,
    "files are short": files_are_short,
    "stand-ins are attached in one place": lambda: only_in(
        r"__dict__\['place'\]", "layers/stand_in.py"
    ),
    "backends are asked for in one place": lambda: only_in(
        r"keras\.config\.backend\(\) [!=]=", "layers/kernels/__init__.py", "backend.py"
    ),
    "names are written out": lambda: only_in(
        r"hasattr\(.*'tied'\)|globals\(\)\[|locals\(\)\[|vars\(\)\["
    ),
    "private API stands in upstream": private_api_stands_in_upstream,
    "imports are absolute": imports_are_absolute,
    "imports run one way": imports_run_one_way,
    "framework-free files import no framework": framework_free_files_import_no_framework,
}


@pytest.mark.parametrize("rule", RULES)
def test_structure(rule):
    broken = list(RULES[rule]())
    assert not broken, "\n".join(f"{path}: {what}" for path, what in broken)


def test_every_floor_is_there():
    """A room that is renamed is renamed in the table too."""
    rooms = {room for rooms in FLOORS for room in rooms.split()}
    assert rooms == {room_of(path) for path in TREES}
    assert all(any(path.startswith(place) for path in TREES) for place in FRAMEWORK_FREE)
