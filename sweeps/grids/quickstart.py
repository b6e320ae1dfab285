"""The whole method at small size, minutes on two CPU cores: 5 seeds, 5 sample counts, 6 starts.

A one-layer model without dropout, 50 integers and modulus 5 make donors fast: they leave the plateau at an accuracy of
0.5 after 200 to 800 steps. At this penalty every seed's mask reached a hard accuracy of 1 with 8% to 17% of the
weights. All stages together take four to five core-minutes.

50 integers have 2,500 pairs, so test pairs are training pairs too: 3.2% of them at 10 disambiguation samples, 12.1% at
250 (means over the seeds). The protocol leaves them in; the report gives the share at each number of samples.
"""

from subind.specs.arithmetic import READINGS, ArithmeticTask
from subind.specs.mask_methods import ContinuousSparsification
from subind.specs.networks import GPT2
from subind.specs.optimizers import AdamW, ClipNorm, NoClip
from subind.specs.rows import Part
from subind.specs.runs import Discover, Train, Transfer
from subind.specs.starts import (
    FullTransfer,
    RandomAsReleased,
    RandomInit,
    RandomSubnetwork,
    Start,
    Subnetwork,
    UnmaskedOnly,
)
from subind.specs.temperature import TemperatureSchedule
from subind.specs.training import EarlyStop, NoEarlyStop, Normal, highest, lowest
from subind.specs.tuning import TuningValidation
from sweeps.grids.studies import Epochs, Range, Study, tuned_on

SEEDS = (0, 1, 2, 3, 4)
DISAMBIGUATION_COUNTS = (10, 25, 50, 100, 250)


def grid() -> tuple[Transfer, ...]:
    """Every start at every seed and number of disambiguation samples, in the order of their packs."""
    return tuple(
        _transfer(start, num_disambiguation=count, seed=seed)
        for seed in SEEDS
        for starts in [_starts(_mask(seed))]
        for count in DISAMBIGUATION_COUNTS
        for start in starts
    )


def _task(rule: str, *, rivals: tuple[str, ...] = ()) -> ArithmeticTask:
    return ArithmeticTask(rule=rule, modulus=5, num_integers=50, rivals=rivals, loss="all_predicted")


def _donor(seed: int) -> Train:
    return Train(
        task=_task("a + a*b"),
        model=GPT2(num_layers=1, d_model=64, num_heads=4, dropout=0.0),
        rows=(Part(name="unambiguous", num_samples=10_000),),
        num_evaluation_samples=500,
        optimizer=AdamW(learning_rate=2e-3, weight_decay=0.0, schedule="linear_decay", clip=ClipNorm(max_norm=1.0)),
        batch_size=100,
        num_epochs=20,
        kept_epoch=lowest("validation_loss"),
        stopping=EarlyStop(patience=5),
        seed=seed,
        precision="float32",
    )


def _mask(seed: int) -> Discover:
    return Discover(
        donor=_donor(seed),
        task=_task("a*b"),
        rows=(Part(name="unambiguous", num_samples=5_000),),
        num_evaluation_samples=500,
        method=ContinuousSparsification(
            initial_logit=-0.1, penalty=4e-6, temperature=TemperatureSchedule(name="exponential", final=100.0)
        ),
        optimizer=AdamW(learning_rate=1e-2, weight_decay=0.01, schedule="constant", clip=NoClip()),
        batch_size=250,
        num_epochs=40,
        kept_epoch=highest("subtask_accuracy", ties="last"),
        seed=seed,
        precision="float32",
    )


def _starts(mask: Discover) -> tuple[Start, ...]:
    return (
        Subnetwork(mask=mask),
        FullTransfer(donor=mask.donor),
        RandomInit(model=mask.network),
        RandomSubnetwork(mask=mask),
        UnmaskedOnly(donor=mask.donor),
        RandomAsReleased(mask=mask),
    )


def _transfer(start: Start, *, num_disambiguation: int, seed: int) -> Transfer:
    return Transfer(
        start=start,
        task=_task("a**2 + a*b", rivals=READINGS),
        rows=(Part(name="ambiguous", num_samples=50), Part(name="disambiguation", num_samples=num_disambiguation)),
        num_evaluation_samples=200,
        fresh_weights=Normal(std=0.02),
        optimizer=AdamW(learning_rate=1e-3, weight_decay=0.01, schedule="constant", clip=NoClip()),
        batch_size=32,
        num_epochs=100,
        kept_epoch=highest("validation_accuracy", ties="last"),
        stopping=NoEarlyStop(),
        seed=seed,
        precision="float32",
    )


def studies() -> tuple[Study, ...]:
    """One search at seed 0. Of 2,450 pairs of operands, 100 occur in no reported sample of the five seeds."""
    validation = TuningValidation(num_samples=100, num_seeds=len(SEEDS), num_transfer_samples=200)
    mask = tuned_on(_mask(0), validation)
    return (
        Study(
            base=mask,
            published=mask,
            penalty=Range(low=1e-6, high=1e-4, scale="log"),
            final_temperature=Range(low=10.0, high=1000.0, scale="log"),
            initial_logit=Range(low=-0.3, high=0.3, scale="linear"),
            learning_rate=Range(low=2e-3, high=1e-1, scale="log"),
            num_epochs=Epochs(low=10, high=40),
            num_startup_trials=10,
            seed=0,
        ),
    )
