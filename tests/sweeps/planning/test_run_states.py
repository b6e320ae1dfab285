"""States of planned runs, counts by stage, and failures by class."""

from subind.identity.run_ids import run_id
from sweeps.planning.plan import accounts
from sweeps.planning.run_states import total, with_running
from tests.sweeps.fabricated_grid import NUM_RUNS, donor, mask, transfers


def test_states_put_each_run_in_the_first_that_holds() -> None:
    plan = accounts("tiny", transfers(0), finished=[run_id(donor(0))], failed=[run_id(mask(0))])
    found = with_running(plan.states, [run_id(donor(0)), run_id(transfers(0)[1])])
    expected = {donor(0): "finished", mask(0): "failed", transfers(0)[0]: "blocked", transfers(0)[1]: "running"}
    assert {spec: found[run_id(spec)].state for spec in expected} == expected


def test_counts_of_stages_add_up_to_the_runs_of_each() -> None:
    plan = accounts("tiny", [*transfers(0), *transfers(1)], finished=[run_id(donor(0))], failed=[])
    counts = plan.states.stage_counts()
    assert {stage: sum(each.values()) for stage, each in counts.items()} == {**NUM_RUNS, "measurement": 0}
    assert (total(counts, "finished"), total(counts, "missing")) == (1, 11)
