"""Tiny runs whose numbers are known: one for each stage, network and precision that a CPU computes.

`python -m tests.subind.golden` measures them again and writes golden_numbers.json.
"""

import json
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from subind.identity.run_ids import STAGE_VERSIONS
from subind.specs.optimizers import AdamW, ClipNorm
from subind.specs.run import Run
from tests.specs import tiny_donor, tiny_mask, tiny_model, tiny_transfer
from tests.subind.packs import finished
from tests.vision_specs import RESNET, VIT, image_donor, image_mask, image_transfer

FILE = Path(__file__).with_name("golden_numbers.json")
COMMAND = "uv run python -m tests.subind.golden"
CLIPPED = AdamW(learning_rate=3e-3, weight_decay=0.01, schedule="linear_decay", clip=ClipNorm(max_norm=0.5))
MODEL = tiny_model(dropout=0.1)


def specs() -> dict[str, Run]:
    """Each run by a name of its stage, network and precision."""
    return {
        f"{name} {precision}": replace(spec, precision=precision)  # type: ignore[arg-type]
        for name, (spec, precisions) in _unlike().items()
        for precision in precisions
    }


def _unlike() -> dict[str, tuple[Run, tuple[str, ...]]]:
    plain = ("float32", "bfloat16")
    layouts = (*plain, "float32_channels_last", "bfloat16_channels_last")
    donor = tiny_donor(model=MODEL, optimizer=CLIPPED)
    mask = tiny_mask(donor=donor)
    found: dict[str, tuple[Run, tuple[str, ...]]] = {
        "donor of GPT-2": (donor, plain),
        "mask of GPT-2": (mask, plain),
        "transfer of GPT-2": (tiny_transfer(mask=mask, optimizer=CLIPPED), plain),
    }
    for name, model, precisions in (("ResNet", RESNET, layouts), ("ViT", VIT, plain)):
        own = image_donor(model, augmentation="crop_and_flip")
        masked = image_mask(own, statistics="batch" if model == RESNET else "donor")
        found[f"donor of {name}"] = own, precisions
        found[f"mask of {name}"] = masked, precisions
        found[f"transfer of {name}"] = image_transfer(mask=masked), precisions
        found[f"new head of {name}"] = image_transfer("new_head", masked), precisions
    return found


def numbers(spec: Run) -> dict[str, Any]:
    """The stage's version, the training losses, the validation loss at the kept epoch, and that epoch."""
    (done,) = finished([spec]).values()
    assert done.replica.failure == ""
    return {
        "version": len(STAGE_VERSIONS[spec.stage]),
        "best_epoch": int(done.measurements["best_epoch"]),
        "validation_loss": done.measurements["validation_loss"],
        "train_loss": done.replica.curves["train_loss"],
    }


def computer() -> str:
    """What decides the last bits: the CPU, the vectors that PyTorch uses on it, and PyTorch's version."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else [platform.machine()]
    named = ("model name", "cpu family", "model\t")
    cpu = dict.fromkeys(line.partition(":")[2].strip() for line in lines if line.startswith(named))
    return ", ".join([*cpu, torch.backends.cpu.get_cpu_capability(), torch.__version__])


def measured() -> dict[str, Any]:
    """All that the file holds: the numbers of every run, and the computer that they are of."""
    torch.set_num_threads(1)
    return {"computer": computer(), "runs": {name: numbers(spec) for name, spec in specs().items()}}


if __name__ == "__main__":
    FILE.write_text(json.dumps(measured(), indent=1) + "\n")
