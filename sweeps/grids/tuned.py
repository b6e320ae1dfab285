"""The masks that `subind tune` chose: one file per tuned grid, which other grids read.

The mask of a choice is a spec like any other: its fields are part of its id and of the ids of its descendants. A
grid that uses the study's donor and seed uses the trial's run itself.
"""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import product
from pathlib import Path
from typing import Any

from subind.identity.run_ids import current_versions, decode, encoded, run_id, run_id_at
from subind.specs.runs import Discover

FOLDER = Path(__file__).parent / "chosen"


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A trial that was chosen: by which rule, out of which study, its parameters, objectives and mask.

    `fingerprint` is the id of the mask's run.
    """

    study: str
    study_id: int
    trial: int
    rule: str
    parameters: dict[str, float | int]
    objectives: dict[str, float]
    fingerprint: str
    mask: dict[str, Any]

    def spec(self) -> Discover:
        """The mask. Raises ValueError if the fingerprint is not that of the mask."""
        found = decode(self.mask)
        if not isinstance(found, Discover) or self.fingerprint not in _run_ids(found):
            raise ValueError(
                f"the choice of study {self.study!r} has fingerprint {self.fingerprint!r}, which is not its mask's: "
                "it was edited; choose again with `subind tune GRID --choose`"
            )
        return found


def _run_ids(mask: Discover) -> frozenset[str]:
    """The ids that the mask's run has had at the versions of the stages up to now: a setting outlives these."""
    versions = product(*(range(1, last + 1) for last in current_versions()))
    return frozenset(run_id_at(mask, each) for each in versions)


def file_of(grid: str) -> Path:
    """The file of a grid's choices."""
    return FOLDER / f"{grid}.json"


def write(path: Path, grid: str, choices: Sequence[Choice]) -> None:
    """Write the choices of a grid's studies."""
    data = {"grid": grid, "choices": [asdict(choice) for choice in choices]}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[Choice, ...]:
    """The choices in a file. Raises ValueError if it holds none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return tuple(Choice(**{each.name: found[each.name] for each in fields(Choice)}) for found in data["choices"])
    except FileNotFoundError:
        raise ValueError(f"{path} is absent: run `subind tune {path.stem} --trials N --choose knee`") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no choices ({error!r}): choose again") from None


def mask(like: Discover, *, grid: str) -> Discover:
    """The mask that a grid's tuning chose for the task and architecture of `like`, over its donor and with its seed.

    `grid` is a grid's name, or the path of a file of choices. Raises ValueError if nothing was chosen for it.
    """
    path = Path(grid) if grid.endswith(".json") else file_of(grid)
    wanted = (like.task, like.donor.task, like.network)
    for choice in read(path):
        found = choice.spec()
        if (found.task, found.donor.task, found.network) == wanted:
            return replace(found, donor=like.donor, seed=like.seed)
    raise ValueError(f"{path} has no choice for subtask {like.task.label()} at {like.network}: tune that grid")


def made(*, study: str, study_id: int, trial: int, rule: str, objectives: dict[str, float], spec: Discover) -> Choice:
    """The choice of a mask."""
    training = {"learning_rate": spec.optimizer.learning_rate, "num_epochs": spec.num_epochs}
    parameters = {**spec.method.searched(), **training}
    return Choice(
        study=study,
        study_id=study_id,
        trial=trial,
        rule=rule,
        parameters=parameters,
        objectives=objectives,
        fingerprint=run_id(spec),
        mask=encoded(spec),
    )
