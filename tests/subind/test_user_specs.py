"""Identity of a user's own classes and functions: their names and versions, what is refused, digests of sources."""

import hashlib
import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, make_dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from subind.identity.parts import function_names, own_parts, remember_functions, source_digest, source_digests
from subind.identity.run_ids import (
    NotLoadedError,
    UnknownSpec,
    canonical_json,
    decode,
    decode_known,
    encoded,
    run_id,
    run_id_at,
)
from subind.specs.any_module import AnyModule
from subind.specs.base import GRID_MODULE, Checked, Open
from subind.specs.measurements import Measurement
from subind.specs.network import Network
from subind.specs.run import STAGES, MaskRun, Run
from subind.specs.runs import Distillation, Measure
from subind.specs.starts import Start
from subind.specs.tasks import Task
from subind.starts import union as projects
from tests.specs import tiny_donor, tiny_mask, tiny_transfer
from tests.subind import modules

GRID = '''
from dataclasses import dataclass
from subind.specs.tasks import Task
from subind.starts import union as projects

class Base(Task):
    """What both tasks share."""

@dataclass(frozen=True, kw_only=True)
class Reversal(Base):
    version = 1
    length: int

def lstm(hidden):
    return hidden

class Nets:
    @staticmethod
    def gru(hidden):
        return hidden
'''


def loaded(folder: Path, text: str = GRID, *, name: str = "own_network") -> ModuleType:
    """The file of that text, as a grid's module is loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(text)
    spec = importlib.util.spec_from_file_location(GRID_MODULE + name, folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[GRID_MODULE + name] = module
    spec.loader.exec_module(module)
    return module


def network(make: Callable[..., Any], **arguments: Any) -> AnyModule:
    return AnyModule(make=make, arguments=tuple(arguments.items()), maskable=("*.weight",))


def own_donor(module: Any, **arguments: Any) -> Run:
    return tiny_donor(task=module.Reversal(length=8), model=network(module.lstm, **(arguments or {"hidden": 64})))


# ---- names


def test_run_id_of_users_classes_does_not_depend_on_where_the_file_lies(tmp_path: Path) -> None:
    first, second = (own_donor(loaded(tmp_path / name)) for name in ("here", "there"))
    assert first != second
    assert run_id(first) == run_id(second)


def test_canonical_json_names_users_classes_and_functions_by_file_and_name(tmp_path: Path) -> None:
    module = loaded(tmp_path)
    data = encoded(own_donor(module))
    assert data["task"] == {"class": "own_network:Reversal", "length": 8, "version": 1}
    assert data["model"]["make"] == {"function": "own_network:lstm"}
    assert encoded(network(module.Nets.gru))["make"] == {"function": "own_network:Nets.gru"}


def test_run_id_of_two_classes_of_one_name_in_two_files_differs(tmp_path: Path) -> None:
    ours, theirs = (loaded(tmp_path, name=name) for name in ("ours", "theirs"))
    assert run_id(own_donor(ours)) != run_id(own_donor(theirs))


def test_run_id_of_another_version_of_a_class_differs(tmp_path: Path) -> None:
    before = run_id(own_donor(loaded(tmp_path)))
    assert run_id(own_donor(loaded(tmp_path, GRID.replace("version = 1", "version = 2")))) != before


def test_run_id_follows_the_kind_of_number_in_arguments_whichever_came_first(tmp_path: Path) -> None:
    module = loaded(tmp_path)
    several: list[Any] = [1, 1.0, True]
    forwards = [run_id(own_donor(module, hidden=value)) for value in several]
    backwards = [run_id(own_donor(module, hidden=value)) for value in reversed(several)]
    assert len(set(forwards)) == 3
    assert len({network(module.lstm, hidden=value) for value in several}) == 3
    assert forwards == backwards[::-1]


# ---- parents anywhere in a run


@dataclass(frozen=True, kw_only=True)
class Union(Start):
    masks: tuple[MaskRun, ...]

    def parents(self) -> tuple[Run, ...]:
        return (*self.masks, self.masks[0].donor)

    @property
    def network(self) -> Network:
        return self.masks[0].network


@dataclass(frozen=True, kw_only=True)
class Agreement(Measurement):
    others: tuple[Run, ...]

    def parents(self) -> tuple[Run, ...]:
        return self.others


def descendants() -> dict[str, Run]:
    masks = tuple(tiny_mask(seed=seed) for seed in range(2))
    teacher = Distillation(network=masks[0].donor, masks=masks[:1], temperature=2.0, weight=0.5)
    union = tiny_transfer(Union(masks=masks))
    asked = Agreement(others=masks)
    return {
        "start of two masks": union,
        "teacher under a mask": tiny_transfer("random_init", teacher=teacher),
        "measurement": Measure(of=union, measurement=asked, seed=0, precision="float32"),
    }


def expected_id(run: Run) -> str:
    """The run id as its definition says, by the json module."""

    def plain(value: Any, is_top: bool) -> Any:
        if isinstance(value, Run) and not is_top:
            return expected_id(value)
        if isinstance(value, tuple):
            return [plain(each, False) for each in value]
        if not is_dataclass(value):
            return value
        cls: Any = type(value)
        name = cls.__name__ if cls.__module__.startswith("subind.specs.") else f"{cls.__module__}:{cls.__qualname__}"
        found = {field.name: plain(getattr(value, field.name), False) for field in fields(value)} | {"class": name}
        return found | ({"version": 1} if isinstance(value, Open | Run) else {})

    text = json.dumps(plain(run, True), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@pytest.mark.parametrize("name", list(descendants()))
def test_run_id_is_the_hash_of_the_tree_with_parents_as_their_ids(name: str) -> None:
    run = descendants()[name]
    assert run_id_at(run, (1,) * len(STAGES)) == expected_id(run)


@pytest.mark.parametrize("name", list(descendants()))
def test_decode_of_a_run_with_several_parents_is_the_run(name: str) -> None:
    run = descendants()[name]
    assert decode(encoded(run)) == run


# ---- what is refused


def test_spec_of_a_class_that_is_no_dataclass_says_what_to_write() -> None:
    class Plain(Task):
        length: int

    with pytest.raises(ValueError, match=r"Plain is no dataclass: write @dataclass\(frozen=True, kw_only=True\) above"):
        Plain(length=8)


@pytest.mark.parametrize("options", [{"frozen": False}, {"frozen": True, "eq": False}])
def test_spec_of_a_class_whose_values_change_or_do_not_compare_is_refused(options: dict[str, bool]) -> None:
    made = make_dataclass("Loose", [("length", int)], bases=(Task,), **options)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="Loose is no frozen dataclass whose values are compared"):
        made(length=8)


@pytest.mark.parametrize("declared", [list[int], dict[str, int], set, Any, object, bytes, complex, "Nowhere"])
def test_spec_of_a_class_with_a_field_of_a_type_that_no_id_has_names_the_field(declared: Any) -> None:
    made = make_dataclass("Odd", [("length", declared)], bases=(Task,), frozen=True)
    with pytest.raises(ValueError, match=r"Odd\.length is declared as .*: give str, bool|the fields of Odd .*Nowhere"):
        made(length=8)


@dataclass(frozen=True)
class NotChecked:
    value: float


def test_spec_of_a_class_with_a_dataclass_that_checks_nothing_is_refused() -> None:
    made = make_dataclass("Holder", [("part", NotChecked)], bases=(Task,), frozen=True)
    with pytest.raises(ValueError, match=r"Holder\.part is declared as .*NotChecked.*frozen dataclass of the base"):
        made(part=NotChecked(value=1.0))


@pytest.mark.parametrize("version", [0, -1, 1.0, True, "1", None])
def test_spec_of_a_class_whose_version_is_no_positive_int_is_refused(version: Any) -> None:
    made = make_dataclass("Own", [], bases=(Task,), namespace={"version": version}, frozen=True)
    with pytest.raises(ValueError, match=r"Own\.version is .*: give an int above 0"):
        made()


def test_spec_of_a_class_whose_version_is_a_field_is_refused() -> None:
    made = make_dataclass("Own", [("version", int)], bases=(Task,), frozen=True)
    with pytest.raises(ValueError, match=r"Own\.version is a field: write it without a type"):
        made(version=1)


@dataclass(frozen=True, kw_only=True)
class Unchecked(Task):
    length: int

    def __post_init__(self) -> None:
        """It forgets to call that of its base."""


def test_spec_of_a_class_that_forgets_its_checks_is_refused_where_it_is_used() -> None:
    task = Unchecked(length=[1, 2])  # type: ignore[arg-type]
    for work in (canonical_json, lambda task: tiny_donor(task=task, model=network(loaded))):
        with pytest.raises(ValueError, match=r"Unchecked\.length is \[1, 2\] of type list: give an int"):
            work(task)


def test_spec_with_a_text_that_no_file_can_hold_is_refused() -> None:
    made = make_dataclass("Named", [("text", str)], bases=(Task,), frozen=True)
    assert made(text="ä\U0001f600").text == "ä\U0001f600"
    with pytest.raises(ValueError, match=r"Named\.text is '\\ud800' of type str: give a str that UTF-8 can spell"):
        made(text="\ud800")


def test_decorated_function_with_the_name_of_another_is_refused() -> None:
    for by in (1, 2):
        with pytest.raises(ValueError, match="give a function or class that stands at the top of a module"):
            network(modules.widened(modules.convolutions, by), channels=2)


def test_decorated_function_that_stands_under_its_own_name_is_taken() -> None:
    assert network(modules.remembered, channels=2).make is modules.remembered


@pytest.mark.parametrize("make", [lambda: None, len.__call__, "lstm", 5])
def test_network_of_what_is_no_function_of_a_module_is_refused(make: Any) -> None:
    with pytest.raises(ValueError, match=r"AnyModule\.make is .*: give a function or class that stands at the top"):
        network(make)


# ---- decoding


def test_decode_of_users_classes_and_functions_that_are_loaded_is_the_spec(tmp_path: Path) -> None:
    run = own_donor(loaded(tmp_path))
    assert decode(json.loads(canonical_json(run))) == run


def test_decode_gives_the_newest_of_two_classes_of_one_name(tmp_path: Path) -> None:
    loaded(tmp_path / "old")
    newer = loaded(tmp_path / "new")
    assert type(decode({"class": "own_network:Reversal", "length": 8, "version": 1})) is newer.Reversal


def test_decode_finds_a_start_of_the_projects_own_that_is_not_loaded() -> None:
    program = (
        "import json, sys; from subind.identity.run_ids import decode, run_id;"
        "print(run_id(decode(json.load(sys.stdin)))); assert 'subind.starts.union' in sys.modules"
    )
    run = tiny_transfer(projects.Union(masks=(tiny_mask(), tiny_mask(seed=1))))
    done = subprocess.run(
        [sys.executable, "-c", program], input=canonical_json(run), capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == run_id(run)


ABSENT: list[tuple[str, Any]] = [
    ("task", {"class": "antigravity:Task", "version": 1}),
    ("task", {"class": "subprocess:Popen", "version": 1, "args": "true"}),
    ("task", {"class": "subind.no_room:Task", "version": 1}),
    ("task", {"class": "subind.starts.no_module:Task", "version": 1}),
    ("task", {"class": "subind.starts:union", "version": 1}),
    ("model", {"function": "antigravity:fly"}),
    ("model", {"function": "os:system"}),
    ("model", {"function": "posix:system"}),
]


def foreign_modules() -> set[str]:
    return {name for name in sys.modules if not name.startswith("subind.")}


@pytest.mark.parametrize(("field", "value"), ABSENT)
def test_decode_of_what_is_not_loaded_names_it_and_imports_nothing(field: str, value: Any) -> None:
    data = encoded(tiny_donor()) | {field: value}
    name = value.get("class") or value["function"]
    before = foreign_modules()
    with pytest.raises(NotLoadedError, match=rf"spec\.{field} has the (class|function) '{name}', which is not loaded"):
        decode(data)
    assert foreign_modules() == before
    assert "antigravity" not in sys.modules


def test_decode_known_of_a_class_that_is_not_loaded_has_its_name_and_fields() -> None:
    data = encoded(tiny_mask())
    data["donor"]["task"] = {"class": "gone:Reversal", "length": 8, "version": 3}
    shown = decode_known(data)
    assert isinstance(shown, UnknownSpec)
    assert shown.name == "Discover"
    donor = dict(shown.values)["donor"]
    assert dict(donor.values)["task"] == UnknownSpec(name="gone:Reversal", values=(("length", 8), ("version", 3)))
    assert dict(donor.values)["model"] == tiny_donor().model


def test_decode_known_of_a_loaded_spec_is_the_spec() -> None:
    assert decode_known(encoded(tiny_transfer())) == tiny_transfer()


def test_function_of_a_plan_is_found_once_its_name_is_given(tmp_path: Path) -> None:
    module = loaded(tmp_path, name="sent")
    text = canonical_json(own_donor(module))
    again = loaded(tmp_path / "worker", name="sent")
    remember_functions((f"{GRID_MODULE}sent:lstm",))
    assert decode(json.loads(text)).model.make is again.lstm


@pytest.mark.parametrize("name", ["antigravity_no_such:fly", f"{__name__}:nothing"])
def test_function_of_a_plan_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"the function {name} cannot be found"):
        remember_functions((name,))


# ---- sources


def test_function_names_are_those_of_the_run_and_its_parents(tmp_path: Path) -> None:
    module = loaded(tmp_path)
    mask = tiny_mask(donor=own_donor(module), subtask=module.Reversal(length=8))
    assert function_names(mask) == (f"{GRID_MODULE}own_network:lstm",)


def test_own_parts_are_users_classes_with_their_bases_and_functions(tmp_path: Path) -> None:
    module = loaded(tmp_path)
    run = tiny_mask(donor=own_donor(module), subtask=module.Reversal(length=8))
    names = {"own_network:Reversal": module.Reversal, "own_network:Base": module.Base, "own_network:lstm": module.lstm}
    assert dict(own_parts(run)) == names


def test_own_parts_of_a_run_of_the_project_and_a_librarys_function_are_none() -> None:
    assert own_parts(tiny_transfer()) == {}
    assert own_parts(tiny_donor(model=network(json.loads), task=tiny_donor().task)) == {}


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("return hidden", "return hidden + 1", {"own_network:lstm"}),
        ("length: int", "length: int = 5", {"own_network:Reversal"}),
        ("What both tasks share", "What they share", {"own_network:Base"}),
        ("from dataclasses", "# A comment.\nfrom dataclasses", set()),
    ],
)
def test_source_digests_change_with_the_source_of_the_part_alone(
    tmp_path: Path, old: str, new: str, changed: set[str]
) -> None:
    before = source_digests(own_donor(loaded(tmp_path / "before")))
    after = source_digests(own_donor(loaded(tmp_path / "after", GRID.replace(old, new))))
    assert before.keys() == after.keys() == {"own_network:Reversal", "own_network:Base", "own_network:lstm"}
    assert {name for name in before if before[name] != after[name]} == changed


def test_source_digest_is_the_hash_of_the_text() -> None:
    text = "@dataclass(frozen=True)\nclass NotChecked:\n    value: float\n"
    assert source_digest(NotChecked) == hashlib.sha256(text.encode()).hexdigest()


def test_source_digest_without_a_source_is_empty() -> None:
    assert source_digest(len) == ""


class Behind(Checked):
    """A class variable is no field."""

    kind: ClassVar[str] = "behind"


def test_class_variable_is_no_part_of_canonical_json() -> None:
    made = make_dataclass("Small", [("size", int)], bases=(Behind,), frozen=True)
    assert encoded(replace(made(size=2), size=3)) == {"class": "types:Small", "size": 3}
