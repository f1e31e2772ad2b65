"""The rules of the house, read off the syntax tree: who may know whom, and what may not be written at all."""

import ast
import functools
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import deepprinciples
from deepprinciples.domains.registry import TABLES

ROOT = Path(deepprinciples.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
MOST_LINES = 350
MOST_MODULES = 13  # a dozen, and a table of them

# What each room may know beside itself: arrows point down only. `parts` and `engine` do not know each other.
MAY_KNOW = {
    "errors": set(),
    "atomic": set(),
    "ranges": set(),
    "part_traits": set(),
    "model_types": set(),
    "types": {"ranges", "part_traits", "model_types"},
    "report": {"atomic", "errors"},
    "runs": {"atomic", "errors", "report"},
    "config": {"errors", "ranges", "runs"},
    "stats": {"errors", "config", "report"},
    "kernels": {"types"},
    "parts": {"atomic", "errors", "types", "kernels"},
    "engine": {"atomic", "errors", "types", "kernels"},
    "domains": {"errors", "ranges", "types", "kernels", "parts"},
    "learners": {"errors", "ranges", "types", "kernels", "config", "parts", "domains", "engine"},
    "interop": {"errors", "types", "runs", "config", "parts", "learners"},
    "results": {"errors", "types", "report", "runs", "config", "stats", "engine", "learners", "interop"},
    "study": {"errors", "types", "report", "runs", "config", "stats", "parts", "engine", "learners", "interop",
              "results"},
    "analysis": {"errors", "types", "report", "runs", "config", "stats", "kernels", "parts", "engine", "learners",
                 "interop", "results", "study"},
    "cli": {"errors", "report", "runs", "config", "parts", "engine", "learners", "results", "study", "analysis"},
    "__main__": {"cli"},
    "scripts": {"cli", "errors", "report", "config", "results", "study"},
    "__init__": {"analysis", "config", "domains", "learners", "parts", "results", "scripts", "stats", "study", "types"},
}  # fmt: skip
# What a package inside another may import from that one beside itself.
BELOW = {
    "engine/lane": {"engine.streams", "engine.divergence"},
    "kernels/sequences": set(),
    "parts/files": set(),
    "parts/splitting": {"parts.files"},
    "parts/tokens": {"parts.files", "parts.splitting"},
    "parts/layers": {"parts.activations", "parts.initializers"},
    "parts/metrics": {"parts.losses", "parts.tokens"},
    "report/figures/examples": {"report.figures.mpl_style"},
    "study/planning": set(),
}
NO_JAX = ("atomic", "errors", "ranges", "part_traits", "report", "runs", "config", "stats", "parts/data", "parts/files",
          "parts/splitting", "parts/text", "parts/tokens",
          "results/layout", "results/finished_run", "analysis/rank", "interop/torch_names", "scripts", "cli/main",
          "cli/options", "cli/data_commands", "cli/training_commands", "cli/run_commands", "cli/console",
          "cli/part_cards", "parts/fetched", "__init__")  # fmt: skip


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def room(path):
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported(path):
    """List the modules a file imports, lazily or not, as absolute dotted names with what is taken from them."""
    found = []
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}:{node.lineno}: imports here are absolute"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def calls(path):
    """Give every call as (dotted name, node)."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def short(path):
    return str(path.relative_to(ROOT))


def test_arrows_point_down_only():
    """A room could not be read, tested or replaced without the whole house."""
    wrong = []
    for path in FILES:
        for name in imported(path):
            if name.startswith("deepprinciples."):
                known = name.split(".")[1]
                if known in MAY_KNOW and known not in MAY_KNOW[room(path)] | {room(path)}:
                    wrong.append(f"{short(path)} imports {name}")
    assert not wrong, wrong
    assert {room(path) for path in FILES} == set(MAY_KNOW), "a room without a place in the house"


@pytest.mark.parametrize("package", sorted(BELOW))
def test_packages_inside_a_room_know_what_is_below(package):
    """Two packages that know each other could not be read one after the other."""
    own = f"deepprinciples.{package.replace('/', '.')}"
    inside = own.rsplit(".", 1)[0]
    allowed = tuple(f"{name}." for name in (own, *(f"deepprinciples.{known}" for known in BELOW[package])))
    wrong = [
        f"{short(path)} imports {name}"
        for path in sorted((ROOT / package).rglob("*.py"))
        for name in imported(path)
        if name.startswith(f"{inside}.") and not f"{name}.".startswith(allowed)
    ]
    assert (ROOT / package).is_dir() and not wrong, wrong


def test_rooms_import_each_other_in_no_circle():
    """Two rooms that know each other are one room: the arrows must have an order."""
    order, left = [], dict(MAY_KNOW)
    while left:
        ready = [name for name, known in left.items() if known <= set(order)]
        assert ready, f"a circle among {sorted(left)}"
        order += ready
        for name in ready:
            del left[name]


def test_the_package_does_not_know_its_users():
    """The installed package would fail where the repository is not."""
    for path in FILES:
        roots = {name.split(".")[0] for name in imported(path)}
        assert not roots & {"experiments", "configs", "tests", "benchmarks", "docs"}, short(path)


def test_rooms_below_import_no_jax():
    """A typing error in a config would take seconds to answer, and a report need an accelerator's software."""
    wrong = []
    for path in FILES:
        if short(path).removesuffix(".py").startswith(NO_JAX):
            roots = {name.split(".")[0] for name in imported(path)} & {"jax", "jaxlib", "flax", "optax", "chex"}
            wrong += [f"{short(path)} imports {root}" for root in roots]
    assert not wrong, wrong


def test_rooms_below_load_no_jax():
    """The same by way of another module: what a fresh Python has loaded decides."""
    names = ["deepprinciples", "deepprinciples.cli.main", "deepprinciples.config", "deepprinciples.runs.directory",
             "deepprinciples.runs.arrays", "deepprinciples.report.page", "deepprinciples.report.terminal",
             "deepprinciples.stats.paired_tests", "deepprinciples.stats.verdicts",
             "deepprinciples.results.finished_run",
             "deepprinciples.stats.judging", "deepprinciples.stats", "deepprinciples.analysis.rank",
             "deepprinciples.domains.anomaly", "deepprinciples.parts.fetched.fetching",
             "deepprinciples.scripts"]  # fmt: skip
    code = f"import sys, {', '.join(names)}; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


FORBIDDEN = {
    *("eval", "exec", "compile", "execfile", "__import__", "runpy.run_path", "os.system", "os.popen"),
    *("yaml.load", "joblib.load", "torch.load", "pd.read_pickle"),
}
RUNS_CLIENTS = "parts/fetched/fetching.py"  # pip and npm download archives there: lists of arguments, no shell
CALLS_A_LIBRARY = "domains/speech/synthesizer.py"  # eSpeak NG, of a package that the user installs for it
ALLOWED = {("study/plugins.py", "spec.loader.exec_module"), ("__init__.py", "importlib.import_module")}


def test_data_is_never_code():
    """Opening a stranger's config, data or run would run their code."""
    wrong = []
    for path in FILES:
        roots = {name.split(".")[0] for name in imported(path)}
        wrong += [
            f"{short(path)}: {r}"
            for r in roots
            & {
                "pickle",
                "cPickle",
                "dill",
                "cloudpickle",
                "marshal",
                "shelve",
                "joblib",
                "yaml",
                "runpy",
                "subprocess",
                "ctypes",
            }
            if (short(path), r) not in ((RUNS_CLIENTS, "subprocess"), (CALLS_A_LIBRARY, "ctypes"))
        ]
        for name, node in calls(path):
            last = name.split(".")[-1]
            if name in FORBIDDEN or last in ("exec_module", "import_module", "read_pickle", "literal_eval"):
                wrong += [f"{short(path)}: {name}"] * ((short(path), name) not in ALLOWED)
            if name in ("np.load", "numpy.load"):
                allowed = {k.arg: ast.unparse(k.value) for k in node.keywords}.get("allow_pickle")
                wrong += [f"{short(path)}: np.load without allow_pickle=False"] * (allowed != "False")
            for keyword in node.keywords:
                if keyword.arg == "allow_pickle" and ast.unparse(keyword.value) != "False":
                    wrong.append(f"{short(path)}: allow_pickle={ast.unparse(keyword.value)}")
                if keyword.arg == "shell":
                    wrong.append(f"{short(path)}: a shell")
    assert not wrong, wrong


def test_keys_are_made_in_one_way():
    """`rbg` keys under vmap draw from the first lane only; and NumPy's global generator would not follow the seed."""
    wrong = []
    for path in FILES:
        for name, node in calls(path):
            drawn = name.split(".")
            seeded = drawn[:2] != ["np", "random"] or drawn[2].split("(")[0] in (
                "default_rng",
                "RandomState",
                "Generator",
            )
            if name == "jax.random.PRNGKey" or not seeded:
                wrong.append(f"{short(path)}:{node.lineno}: {name}")
    assert not wrong, wrong


def test_the_training_loop_never_calls_the_host():
    """Every step would wait for Python, and lanes could no longer be mapped freely."""
    wrong = []
    for path in FILES:
        if room(path) in ("engine", "parts"):
            wrong += [
                f"{short(path)}: {name}"
                for name, _ in calls(path)
                if name.split(".")[-1] in ("pure_callback", "io_callback", "host_callback", "print")
                and name.startswith(("jax", "print"))
            ]
    assert not wrong, wrong


def test_everything_public_says_what_it_is_for():
    """A user who asks for help would get none."""
    missing = []
    for path in FILES:
        module = tree(path)
        if not ast.get_docstring(module):
            missing.append(short(path))
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                missing += [f"{short(path)}: {node.name}"] * (not ast.get_docstring(node))
    assert not missing, missing


@pytest.mark.parametrize("kind", sorted(TABLES))
def test_a_table_names_its_factories(kind):
    """A config's name would not be the function a user finds, or a default lie outside the signature."""
    assert TABLES[kind]
    for name, factory in TABLES[kind].items():
        assert factory.__name__ == name and inspect.getdoc(factory)
        for parameter in inspect.signature(factory).parameters.values():
            assert parameter.kind is inspect.Parameter.KEYWORD_ONLY, f"{kind} {name}: {parameter.name}"


def test_every_list_of_factories_is_in_the_tables():
    """A part that was written would be reachable by no config."""
    named = {name for table in TABLES.values() for name in table}
    for path in FILES:
        if room(path) == "parts" and path.name != "tables.py":
            for node in tree(path).body:
                target = node.targets[0] if isinstance(node, ast.Assign) else getattr(node, "target", None)
                if isinstance(target, ast.Name) and target.id == "TABLE":
                    module = short(path).removesuffix(".py").removesuffix("/__init__").replace("/", ".")
                    table = __import__(f"deepprinciples.{module}", fromlist=["TABLE"]).TABLE
                    assert table and set(table) <= named, short(path)


def test_neutrals_belong_to_parts():
    """ "Off" would be promised for a hyper-parameter that is not there, or by a value that cannot be traced."""
    for kind, table in TABLES.items():
        for name, factory in table.items():
            values = getattr(factory, "neutral", {})
            assert set(values) <= set(inspect.signature(factory).parameters), (kind, name)
            assert all(isinstance(value, float) for value in values.values()), (kind, name)


def test_no_room_needs_a_wall():
    """A file too long to read is changed without being understood."""
    long = {short(path): count for path in FILES if (count := len(path.read_text().splitlines())) > MOST_LINES}
    assert not long, long


def test_a_package_is_no_crowd():
    """What belongs where is found in a list that is read at a glance."""
    counts = {}
    for path in FILES:
        folder = str(path.parent.relative_to(ROOT))
        counts[folder] = counts.get(folder, 0) + (path.name != "__init__.py")
    crowded = {folder: count for folder, count in counts.items() if count > MOST_MODULES}
    assert not crowded, crowded


@pytest.mark.parametrize(("code", "word"), [
    ("import pickle", "pickle"), ("np.load(f, allow_pickle=True)", "allow_pickle"), ("np.load(f)", "np.load"),
    ("eval(text)", "eval"), ("loader.exec_module(m)", "exec_module"), ("import_module(name)", "import_module"),
])  # fmt: skip
def test_the_guard_against_code_in_data_can_fail(code, word, tmp_path, monkeypatch):
    """The guard would pass whatever is written."""
    path = tmp_path / "bad.py"
    path.write_text(code)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "FILES", [path])
    with pytest.raises(AssertionError, match=word):
        test_data_is_never_code()


@pytest.mark.parametrize(("home", "code"), [
    ("engine", "from deepprinciples.parts import losses"), ("parts", "import deepprinciples.engine.lane.fit"),
    ("report", "from deepprinciples import runs"), ("runs", "def f():\n    from deepprinciples.study import build"),
    ("config", "from deepprinciples.types import Array"), ("study", "from deepprinciples.cli.main import app"),
])  # fmt: skip
def test_the_guard_of_the_arrows_can_fail(home, code, tmp_path, monkeypatch):
    """The guard would let any import pass."""
    path = tmp_path / home / "bad.py"
    path.parent.mkdir()
    path.write_text(code)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    monkeypatch.setitem(globals(), "FILES", [path])
    with pytest.raises(AssertionError, match="bad.py imports"):
        test_arrows_point_down_only()


@pytest.mark.parametrize(("home", "code"), [
    ("parts/files", "from deepprinciples.parts import data"),
    ("parts/layers", "from deepprinciples.parts.models.mlp import mlp"),
    ("study/planning", "from deepprinciples.study.execute import carry"),
])  # fmt: skip
def test_the_guard_of_the_packages_can_fail(home, code, tmp_path, monkeypatch):
    """The guard would let any import inside a package pass."""
    path = tmp_path / home / "bad.py"
    path.parent.mkdir(parents=True)
    path.write_text(code)
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    with pytest.raises(AssertionError, match="bad.py imports"):
        test_packages_inside_a_room_know_what_is_below(home)


WORDS = ("told", "room", "rooms", "ledger", "stranger", "strangers", "voice", "spoiled", "hears", "mend", "mended")


def test_the_field_has_a_word_for_it():
    """A reader would have to learn a private language; each of these has a plain word."""
    above = Path(__file__).parents[1]
    texts = [*FILES, *ROOT.rglob("*.html"), *above.glob("*.md"), *(above / "docs").glob("*.md")]
    private = re.compile(rf"\b({'|'.join(WORDS)})\b", re.IGNORECASE)
    found = [
        f"{path.name}:{number}: {line.strip()[:80]}"
        for path in texts
        if path.name not in ("CHANGELOG.md", "findings.md")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if private.search(line)
    ]
    assert not found, found


def test_a_file_name_occurs_once():
    """Two modules of one name are mistaken for each other in a traceback, a search and an import."""
    names = [path.name for path in FILES if path.name != "__init__.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []
