"""The time that a sweep still takes. The clock is the test's; the oracle is the arithmetic of operations by hand."""

from collections.abc import Collection
from dataclasses import replace

import pytest

from subind.identity.run_ids import run_id
from subind.specs.run import Run
from subind.store.store import Heartbeat
from sweeps.costs.work import operations
from sweeps.planning.plan import Crew, Plan, accounts, packed, standing
from sweeps.watching.time_left import Estimate, TimeLeft
from tests.specs import tiny_donor, tiny_mask, tiny_transfer

MASKS = [tiny_mask(donor=tiny_donor(seed=seed), seed=seed) for seed in (0, 1)]
CELLS = [tiny_transfer(name, mask=mask) for mask in MASKS for name in ("subnetwork", "full_transfer")]
DONORS = [tiny_donor(seed=seed) for seed in (0, 1)]
ALL: list[Run] = [*DONORS, *MASKS, *CELLS]
TOTAL = sum(map(operations, ALL))


def _plan(*, finished: Collection[Run] = (), failed: Collection[Run] = (), makespan: float = 0.0) -> Plan:
    """Two seeds of a donor, a mask and two transfers; with a makespan, in packs that take so long."""
    plan = accounts("tiny", CELLS, finished=set(map(run_id, finished)), failed=set(map(run_id, failed)))
    if not makespan:
        return plan
    made = packed(plan, checkpoints=(), crew=Crew(num_workers=1))
    return replace(made, schedule=replace(made.schedule, ends=(makespan,)))


def _with(plan: Plan, *finished: Run) -> Plan:
    """The plan where these runs are finished."""
    return standing(plan, finished=set(map(run_id, finished)), failed=(), damaged={})


def _beat(*several: Run, step: int, num_steps: int = 100) -> Heartbeat:
    return Heartbeat(
        pack="pack",
        runs=tuple(map(run_id, several)),
        host="here",
        process=7,
        epoch=1,
        step=step,
        num_steps=num_steps,
        time=0.0,
    )


class Sweep:
    """A sweep that is observed at times of the test's."""

    def __init__(self) -> None:
        self.now = 0.0
        self.time_left = TimeLeft(clock=lambda: self.now)

    def at(self, seconds: float, plan: Plan, *beats: Heartbeat) -> Estimate:
        self.now = seconds
        return self.time_left.estimate(plan, beats)


def test_time_left_is_not_known_before_anything_is_done() -> None:
    sweep = Sweep()
    assert sweep.at(0, _plan()).seconds_left is None
    assert sweep.at(100, _plan()).seconds_left is None


def test_finished_runs_tell_the_time_left_by_their_operations() -> None:
    sweep = Sweep()
    sweep.at(0, _plan())
    done = sum(map(operations, DONORS))
    estimate = sweep.at(200, _plan(finished=DONORS))
    assert estimate.seconds_left == pytest.approx(200 * (TOTAL - done) / done)
    assert estimate.runs_per_hour == 36.0
    assert estimate.share_done == pytest.approx(done / TOTAL)


def test_steps_of_packs_under_way_count() -> None:
    sweep, plan, pair = Sweep(), _plan(), sum(map(operations, DONORS))
    sweep.at(0, plan, _beat(*DONORS, step=1))
    estimate = sweep.at(100, plan, _beat(*DONORS, step=31))
    assert estimate.seconds_left == pytest.approx(100 * (TOTAL - 0.31 * pair) / (0.30 * pair))
    assert estimate.share_done == pytest.approx(0.31 * pair / TOTAL)


def test_time_before_the_first_pack_trains_does_not_slow_the_estimate() -> None:
    late, prompt = Sweep(), Sweep()
    for sweep, seconds in ((late, 1000.0), (prompt, 0.0)):
        sweep.at(0, _plan())
        sweep.at(seconds, _plan(), _beat(*DONORS, step=1))
    left = [
        sweep.at(seconds, _plan(), _beat(*DONORS, step=31)).seconds_left
        for sweep, seconds in ((late, 1100.0), (prompt, 100.0))
    ]
    assert left[0] == left[1]


def test_work_that_a_checkpoint_brought_back_tells_no_speed() -> None:
    resumed, fresh = Sweep(), Sweep()
    for sweep, step in ((resumed, 60), (fresh, 1)):
        sweep.at(0, _plan(), _beat(*DONORS, step=0))
        sweep.at(10, _plan(), _beat(*DONORS, step=step))
    pair = sum(map(operations, DONORS))
    estimate = resumed.at(110, _plan(), _beat(*DONORS, step=70))
    assert estimate.seconds_left == pytest.approx(100 * (TOTAL - 0.7 * pair) / (0.1 * pair))
    assert fresh.at(110, _plan(), _beat(*DONORS, step=11)).seconds_left == pytest.approx(
        100 * (TOTAL - 0.11 * pair) / (0.1 * pair)
    )


def test_pack_that_starts_over_is_not_counted_as_done() -> None:
    sweep, plan = Sweep(), _plan()
    sweep.at(0, plan, _beat(*DONORS, step=1))
    sweep.at(50, plan, _beat(*DONORS, step=50))
    assert sweep.at(60, plan).share_done == 0.0


def test_speed_is_that_of_the_last_quarter_of_an_hour() -> None:
    sweep, plan, pair = Sweep(), _plan(), sum(map(operations, DONORS))
    sweep.at(0, plan, _beat(*DONORS, step=1))
    for seconds, step in ((10, 21), (1990, 41), (2450, 51), (2900, 61)):
        estimate = sweep.at(seconds, plan, _beat(*DONORS, step=step))
    assert estimate.seconds_left == pytest.approx(910 * (TOTAL - 0.61 * pair) / (0.2 * pair))


def test_failed_and_blocked_runs_are_not_waited_for() -> None:
    sweep, rest = Sweep(), [MASKS[0], *CELLS[:2]]
    sweep.at(0, _plan(finished=DONORS[:1], failed=DONORS[1:]))
    estimate = sweep.at(100, _plan(finished=[DONORS[0], *rest[:2]], failed=DONORS[1:]))
    done, left = sum(map(operations, rest[:2])), operations(rest[2])
    assert estimate.seconds_left == pytest.approx(100 * left / done)
    over = sweep.at(200, _plan(finished=[DONORS[0], *rest], failed=DONORS[1:]))
    assert (over.seconds_left, over.share_done) == (0.0, 1.0)


def test_estimate_is_an_upper_bound_while_runs_are_left_that_may_stop_early() -> None:
    early = tiny_donor(seed=5, num_epochs=50, patience=1)
    plan = accounts("tiny", [early, DONORS[0]], finished=(), failed=())
    assert Sweep().at(0, plan).is_most
    assert not Sweep().at(0, _with(plan, early)).is_most


def test_run_that_has_stopped_early_counts_as_far_as_it_trained() -> None:
    early, late = (tiny_donor(seed=seed, num_epochs=50, patience=1) for seed in (5, 6))
    sweep, plan = Sweep(), accounts("tiny", [early, late], finished=(), failed=())
    sweep.at(0, plan, _beat(early, step=1))
    sweep.at(90, plan, _beat(early, step=21))
    estimate = sweep.at(100, _with(plan, early))
    assert estimate.seconds_left == pytest.approx(100 / 0.2)


def test_first_seconds_are_near_the_plans_own_forecast() -> None:
    sweep, plan = Sweep(), _plan(makespan=1800)
    sweep.at(0, plan, _beat(*DONORS, step=1, num_steps=1_000_000))
    left = sweep.at(30, plan, _beat(*DONORS, step=2, num_steps=1_000_000)).seconds_left
    assert left is not None
    assert 1800 < left < 2 * 1800


def test_late_sweep_follows_its_own_speed() -> None:
    sweep, pair = Sweep(), sum(map(operations, DONORS))
    plan = _plan(makespan=1.0)
    sweep.at(0, plan)
    left = sweep.at(1000, _with(plan, *DONORS)).seconds_left
    at_own_speed = 1000 * (TOTAL - pair) / pair
    assert left is not None
    assert pair / (pair + 0.05 * TOTAL) * at_own_speed <= left <= 1.01 * at_own_speed
