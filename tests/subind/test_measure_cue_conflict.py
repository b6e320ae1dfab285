from pathlib import Path

import pytest
import torch

from subind.computing import compute
from subind.measurements.cue_conflict import CueConflict
from subind.specs.base import behaviour
from tests.specs import tiny_donor
from tests.subind.measures import asked, asking, measurements
from tests.vision_specs import image_donor, image_mask, image_transfer, shapes_task

OTHER = shapes_task(texture_contrast=1.0, data_seed=5)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A store, which the tests fill."""
    path: Path = tmp_path_factory.mktemp("store")
    return str(path)


def test_cue_conflict_on_the_own_task_is_what_the_recipient_measured_itself(finished: str) -> None:
    transfer = image_transfer("full_transfer")
    own = CueConflict(task=transfer.task, num_images=transfer.task.num_cue_conflict)  # type: ignore[arg-type, attr-defined]
    measured = measurements(transfer, own, store=finished, seed=transfer.seed)
    recorded = compute(transfer, store=finished).measurements
    assert {"shape_rate", "texture_rate", "other_rate", "num_cue_conflict"} <= measured.keys()
    assert measured == {name: recorded[name] for name in measured}


def test_rates_on_another_task_are_those_counted_image_by_image(finished: str) -> None:
    donor = image_donor()
    measured = measurements(donor, CueConflict(task=OTHER, num_images=300), store=finished)
    ask = asked(asking(donor, CueConflict(task=OTHER, num_images=300)), store=finished).ask()
    images = behaviour(OTHER).conflict_images(300)
    counts = {"shape": 0, "texture": 0, "other": 0}
    for pixels, shape, texture in zip(images.pixels, images.shapes, images.textures, strict=True):
        scores = ask((pixels.double() / 255 / 0.25 - 2).float()[None, None])
        counts[{int(shape): "shape", int(texture): "texture"}.get(int(scores.argmax()), "other")] += 1
    assert measured["num_cue_conflict"] == 300
    for cue, count in counts.items():
        assert measured[f"{cue}_rate"] == pytest.approx(count / 300, abs=1e-12)
        by_class = [value for name, value in measured.items() if name.startswith(f"cue_{cue}.")]
        assert sum(by_class) == count


def test_cue_conflict_under_a_mask_asks_the_masked_network(finished: str) -> None:
    mask, asks = image_mask(), CueConflict(task=OTHER, num_images=100)
    measurements(mask, asks, store=finished)
    under, of_donor = (asked(asking(of, asks), store=finished) for of in (mask, mask.donor))
    pixels = behaviour(OTHER).normalised(behaviour(OTHER).conflict_images(8).pixels)[None]
    assert under.mask.keys() == set(under.network.maskable)
    assert not torch.equal(under.ask()(pixels), of_donor.ask()(pixels))
    assert torch.equal(under.ask_under({})(pixels), of_donor.ask()(pixels))


def test_cue_conflict_of_no_image_or_a_network_for_others_is_refused_when_it_is_planned() -> None:
    with pytest.raises(ValueError, match=r"CueConflict\.num_images is 0: give a number above 0"):
        CueConflict(task=OTHER, num_images=0)
    with pytest.raises(ValueError, match=r"ShapesTask gives .*Images.*and the parent's task .*Tokens"):
        asking(tiny_donor(), CueConflict(task=OTHER, num_images=9))
