"""Numbers that a change of the code may not move without a new version of the stage.

On the kind of computer that measured them they are compared to the last bit. Another kind rounds differently: there
losses are compared to 1 in 50,000 in float32 and 1 in 50 in bfloat16, and kept epochs exactly. With the instruction
sets SSE4, AVX2 and AVX-512 in turn, losses in float32 differed by under 1 in 200,000, in bfloat16 by up to 1 in 150.
"""

import json
from typing import Any

import pytest

from subind.identity.run_ids import STAGE_VERSIONS
from subind.specs.run import Run
from tests.subind.golden import COMMAND, FILE, computer, numbers, specs

GOLDEN: dict[str, Any] = json.loads(FILE.read_text())
TOLERANCE = {"float32": 2e-5, "bfloat16": 2e-2}


@pytest.mark.parametrize(("name", "spec"), specs().items(), ids=list(specs()))
def test_numbers_move_only_with_the_version_of_their_stage(name: str, spec: Run) -> None:
    known = GOLDEN["runs"][name]
    assert known["version"] == len(STAGE_VERSIONS[spec.stage]), (
        f"the version of the stage {spec.stage!r} has moved: measure the numbers again with `{COMMAND}`"
    )
    assert numbers(spec) == (known if GOLDEN["computer"] == computer() else near(known, spec)), (
        f"the numbers of {name} have moved: undo the change, or append its reason to STAGE_VERSIONS[{spec.stage!r}] "
        f"and measure again with `{COMMAND}`"
    )


def near(known: dict[str, Any], spec: Run) -> dict[str, Any]:
    """What a computer of another kind may measure."""
    tolerance = TOLERANCE[spec.precision.removesuffix("_channels_last")]
    return known | {name: pytest.approx(known[name], rel=tolerance) for name in ("validation_loss", "train_loss")}


def test_golden_numbers_are_of_every_run_and_of_no_other() -> None:
    assert GOLDEN["runs"].keys() == specs().keys()
