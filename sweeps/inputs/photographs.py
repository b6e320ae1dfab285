"""The photographs of a grid's runs: fingerprints of a folder of images, which are part of the run ids.

A grid says how photographs are used, but not which. The fingerprints of a folder's photographs are filled into the
grid's tasks, and so into the ids of its runs. A store remembers the fingerprints of its last sweep, so that commands
that read no photographs have the same ids.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass, replace
from operator import is_
from typing import Any

from subind.specs.images import FINGERPRINTS as PARTS
from subind.specs.run import Run
from subind.specs.tasks import Task
from subind.store.files import joined
from subind.store.store import Store, opened_files

FILE = "images.json"
MOST_BYTES = 10_000

UNIDENTIFIED = (
    "the runs are on photographs, and their ids depend on which: give --images FOLDER, as plan and run take it; "
    "until a run was given one, none of this grid counts as finished"
)


def identified(cells: tuple[Run, ...], *, images: str, store: Store) -> tuple[Run, ...]:
    """The cells with the photographs of the folder `images`, or where none is given, of the store's last sweep.

    Without either they are as they were. Raises ValueError if parts of the folder are absent.
    """
    if not is_unidentified(cells):
        return cells
    parts = folder_parts(images) if images else remembered(store)
    if not parts:
        return cells
    known: dict[int, Any] = {}
    return tuple(_filled(cell, parts, known) for cell in cells)


def is_unidentified(several: Iterable[Run]) -> bool:
    """Whether a task of the runs or of their ancestors uses photographs without fingerprints."""
    known: dict[int, bool] = {}
    return any(_lacks_parts(each, known) for each in several)


def folder_parts(images: str) -> Mapping[str, str]:
    """The fingerprints of the parts of a folder of images. Raises ValueError if parts of it are absent."""
    from subind.tasks.photographs import folder as photographs

    return photographs.fingerprints(images)


def remembered(store: Store) -> Mapping[str, str]:
    """The fingerprints of the images that the store's last sweep on photographs was on; empty if there was none.

    Raises ValueError if the file that says so is damaged.
    """
    files = opened_files(store.url)
    path = joined(files.root, FILE)
    try:
        data = json.loads(files.read(path, most=MOST_BYTES))
    except FileNotFoundError:
        return {}
    except (ValueError, OSError) as error:
        raise ValueError(f"{path} cannot be read ({error}): {_REMEDY}") from None
    if not isinstance(data, dict) or data.keys() != set(PARTS) or not all(type(each) is str for each in data.values()):
        raise ValueError(f"{path} is not what a sweep wrote: {_REMEDY}")
    return data


_REMEDY = "remove it, and run the grid with --images"


def remember(runs: Iterable[Run], store: Store, images: str) -> str:
    """Remember the images of a sweep; return a line if the store's last sweep used other images."""
    if not images or not any(spec.task.needs_images() for spec in runs):
        return ""
    parts, before = folder_parts(images), remembered(store)
    if before == parts:
        return ""
    files = opened_files(store.url)
    files.replace(joined(files.root, FILE), json.dumps(parts, indent=2).encode())
    other = ", ".join(name for name in PARTS if before.get(name) != parts[name])
    return f"{images} has other images than the store's last sweep ({other}): these are other runs" if before else ""


def _lacks_parts(value: Any, known: dict[int, bool]) -> bool:
    if isinstance(value, Task) and value.lacks_fingerprints():
        return True
    if isinstance(value, tuple):
        return any(_lacks_parts(each, known) for each in value)
    if not is_dataclass(value) or isinstance(value, type):
        return False
    if id(value) not in known:
        known[id(value)] = any(_lacks_parts(getattr(value, each.name), known) for each in fields(value))
    return known[id(value)]


def _filled(value: Any, parts: Mapping[str, str], known: dict[int, Any]) -> Any:
    """The value with the fingerprints in every task that lacks them; what cells share is filled once."""
    if isinstance(value, Task) and value.lacks_fingerprints():
        return value.with_fingerprints(parts)
    if isinstance(value, tuple):
        several = tuple([_filled(each, parts, known) for each in value])
        return value if all(map(is_, several, value)) else several
    if not is_dataclass(value) or isinstance(value, type):
        return value
    if id(value) not in known:
        inner = {each.name: getattr(value, each.name) for each in fields(value)}
        changed = {name: new for name, old in inner.items() if (new := _filled(old, parts, known)) is not old}
        known[id(value)] = replace(value, **changed) if changed else value
    return known[id(value)]
