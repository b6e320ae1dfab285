"""Hosts: what they compute, how fast, and what they have finished."""

from dataclasses import replace
from pathlib import Path

import pytest

from subind.identity.run_ids import run_id
from subind.store.store import Heartbeat
from sweeps.watching.nodes import Origin, Origins, Pace, nodes
from tests.sweeps.fabricated_grid import donor, mask, store_with, transfers

BEAT = Heartbeat(pack="one", runs=("a", "b"), host="left", process=7, epoch=1, step=100, num_steps=400, time=1000.0)


def _later(beat: Heartbeat, seconds: float, steps: int) -> Heartbeat:
    return replace(beat, time=beat.time + seconds, step=beat.step + steps)


def _paced(*beats: Heartbeat) -> dict[str, float]:
    """The rates after these heartbeats were seen one after the other."""
    pace = Pace()
    for beat in beats:
        pace.see([beat])
    return pace.rates


# ---- nodes


def test_node_sums_packs_replicas_and_steps_of_its_host() -> None:
    beats = [BEAT, replace(BEAT, pack="two", runs=("c",), step=300), replace(BEAT, pack="three", host="right")]
    found = nodes(beats, origins={}, finished=(), rates={"one": 10.0, "two": 2.5}, now=1003.0)
    left = next(node for node in found if node.host == "left")
    assert (left.num_packs, left.num_replicas, left.steps_per_second) == (2, 3, 12.5)
    assert left.seconds_silent == 3.0


def test_node_without_two_heartbeats_of_a_pack_has_no_speed() -> None:
    (found,) = nodes([BEAT], origins={}, finished=(), rates={}, now=1000.0)
    assert found.steps_per_second is None


def test_node_that_only_finished_runs_is_not_silent() -> None:
    origins = {"x": Origin(host="gone", device="cpu"), "y": Origin(host="gone", device="NVIDIA L4")}
    (found,) = nodes([], origins=origins, finished=("x", "y", "z"), rates={}, now=0.0)
    assert (found.host, found.num_finished, found.devices) == ("gone", 2, ("NVIDIA L4", "cpu"))
    assert found.seconds_silent is None


def test_busy_nodes_come_first() -> None:
    origins = {"x": Origin(host="done", device="cpu")}
    found = nodes([BEAT], origins=origins, finished=("x",), rates={}, now=1000.0)
    assert [node.host for node in found] == ["left", "done"]


def test_heartbeat_of_the_future_is_not_silent_for_less_than_nothing() -> None:
    (found,) = nodes([BEAT], origins={}, finished=(), rates={}, now=900.0)
    assert found.seconds_silent == 0.0


# ---- pace


def test_pace_is_steps_over_time() -> None:
    assert _paced(BEAT, _later(BEAT, 10, 250)) == {"one": 25.0}


def test_pace_is_not_known_from_one_heartbeat() -> None:
    assert _paced(BEAT) == {}


@pytest.mark.parametrize("jitter", [-0.5, 0.0, 0.5])
def test_heartbeat_that_is_read_again_changes_no_pace(jitter: float) -> None:
    second = _later(BEAT, 10, 250)
    assert _paced(BEAT, second, replace(second, time=second.time + jitter)) == {"one": 25.0}


def test_pace_forgets_what_is_long_ago() -> None:
    beats = [BEAT, _later(BEAT, 10, 0), *(_later(BEAT, 100 + 10 * number, 40 * number) for number in range(8))]
    assert _paced(*beats)["one"] == pytest.approx(4.0)


def test_pace_begins_anew_with_another_worker() -> None:
    assert _paced(BEAT, _later(BEAT, 10, 250), replace(_later(BEAT, 20, 300), process=8)) == {}


def test_pace_begins_anew_where_a_pack_went_back() -> None:
    assert _paced(BEAT, _later(BEAT, 10, 250), _later(BEAT, 20, 50)) == {}


def test_pace_of_a_pack_that_is_gone_is_forgotten() -> None:
    pace = Pace()
    for beats in ([BEAT], [_later(BEAT, 10, 250)], []):
        pace.see(beats)
    assert pace.rates == {}


# ---- origins


def test_origins_are_those_of_the_records(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0), mask(0))
    origins = Origins(store)
    assert origins.learn({run_id(spec): spec for spec in (donor(0), mask(0))}, within_seconds=60) == 0
    assert set(origins.known.values()) == {Origin(host="here", device="cpu")}


def test_origins_that_there_is_no_time_for_remain_unread(tmp_path: Path) -> None:
    store = store_with(tmp_path, *transfers(0))
    assert Origins(store).learn({run_id(spec): spec for spec in transfers(0)}, within_seconds=0) == 4


def test_origin_of_a_record_that_cannot_be_read_is_unknown_until_it_can(tmp_path: Path) -> None:
    store = store_with(tmp_path, donor(0))
    record = Path(store.folder(donor(0)), "record.json")
    whole = record.read_bytes()
    record.write_text("{")
    origins = Origins(store)
    assert origins.learn({run_id(donor(0)): donor(0)}, within_seconds=60) == 0
    assert list(origins.unreadable) == [run_id(donor(0))]
    assert f"{record} is no JSON" in origins.unreadable[run_id(donor(0))]
    assert nodes([], origins=origins.known, finished=origins.known, rates={}, now=0.0) == ()
    record.write_bytes(whole)
    assert origins.learn({run_id(donor(0)): donor(0)}, within_seconds=60) == 0
    assert (list(origins.known), origins.unreadable) == ([run_id(donor(0))], {})
