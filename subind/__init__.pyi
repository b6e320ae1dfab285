"""The public names, each with the module that it stands in."""

from .computing import (
    Computed as Computed,
)
from .computing import (
    compute as compute,
)
from .specs.arithmetic import (
    ArithmeticTask as ArithmeticTask,
)
from .specs.arithmetic import (
    Operation as Operation,
)
from .specs.arithmetic import (
    SeveralOperations as SeveralOperations,
)
from .specs.arithmetic import (
    readings as readings,
)
from .specs.base import (
    Checked as Checked,
)
from .specs.base import (
    Open as Open,
)
from .specs.digits import (
    DigitsTask as DigitsTask,
)
from .specs.images import (
    ImageNet16Task as ImageNet16Task,
)
from .specs.images import (
    ShapesTask as ShapesTask,
)
from .specs.mask_methods import (
    ContinuousSparsification as ContinuousSparsification,
)
from .specs.mask_methods import (
    MaskMethod as MaskMethod,
)
from .specs.mask_methods import (
    StraightThrough as StraightThrough,
)
from .specs.measurements import (
    Measurement as Measurement,
)
from .specs.networks import (
    GPT2 as GPT2,
)
from .specs.networks import (
    MLP as MLP,
)
from .specs.networks import (
    AnyModule as AnyModule,
)
from .specs.networks import (
    Network as Network,
)
from .specs.networks import (
    ResNet as ResNet,
)
from .specs.networks import (
    ViT as ViT,
)
from .specs.optimizers import (
    SGD as SGD,
)
from .specs.optimizers import (
    AdamW as AdamW,
)
from .specs.optimizers import (
    ClipNorm as ClipNorm,
)
from .specs.optimizers import (
    NoClip as NoClip,
)
from .specs.rows import (
    Part as Part,
)
from .specs.rows import (
    RepeatedPart as RepeatedPart,
)
from .specs.run import (
    Run as Run,
)
from .specs.run import (
    lineage as lineage,
)
from .specs.run import (
    steps_per_epoch as steps_per_epoch,
)
from .specs.runs import (
    Discover as Discover,
)
from .specs.runs import (
    Distillation as Distillation,
)
from .specs.runs import (
    Measure as Measure,
)
from .specs.runs import (
    NoSecondTask as NoSecondTask,
)
from .specs.runs import (
    NoTeacher as NoTeacher,
)
from .specs.runs import (
    SecondTask as SecondTask,
)
from .specs.runs import (
    Train as Train,
)
from .specs.runs import (
    Transfer as Transfer,
)
from .specs.starts import (
    ComplementAsReleased as ComplementAsReleased,
)
from .specs.starts import (
    ComplementSubnetwork as ComplementSubnetwork,
)
from .specs.starts import (
    DataMixture as DataMixture,
)
from .specs.starts import (
    DonorStart as DonorStart,
)
from .specs.starts import (
    FullTransfer as FullTransfer,
)
from .specs.starts import (
    LongerDonor as LongerDonor,
)
from .specs.starts import (
    MaskedStart as MaskedStart,
)
from .specs.starts import (
    NewHead as NewHead,
)
from .specs.starts import (
    RandomAsReleased as RandomAsReleased,
)
from .specs.starts import (
    RandomInit as RandomInit,
)
from .specs.starts import (
    RandomSubnetwork as RandomSubnetwork,
)
from .specs.starts import (
    Start as Start,
)
from .specs.starts import (
    Subnetwork as Subnetwork,
)
from .specs.starts import (
    SubnetworkTrainable as SubnetworkTrainable,
)
from .specs.starts import (
    SubnetworkTrainedAlone as SubnetworkTrainedAlone,
)
from .specs.starts import (
    UnmaskedOnly as UnmaskedOnly,
)
from .specs.tasks import (
    AnyInputs as AnyInputs,
)
from .specs.tasks import (
    Features as Features,
)
from .specs.tasks import (
    Images as Images,
)
from .specs.tasks import (
    Signature as Signature,
)
from .specs.tasks import (
    Task as Task,
)
from .specs.tasks import (
    Tokens as Tokens,
)
from .specs.temperature import (
    TemperatureSchedule as TemperatureSchedule,
)
from .specs.training import (
    AsInitialised as AsInitialised,
)
from .specs.training import (
    BestEpoch as BestEpoch,
)
from .specs.training import (
    EarlyStop as EarlyStop,
)
from .specs.training import (
    FreshWeights as FreshWeights,
)
from .specs.training import (
    FrozenAlways as FrozenAlways,
)
from .specs.training import (
    FrozenFor as FrozenFor,
)
from .specs.training import (
    ImportedWeights as ImportedWeights,
)
from .specs.training import (
    LastEpoch as LastEpoch,
)
from .specs.training import (
    NoEarlyStop as NoEarlyStop,
)
from .specs.training import (
    Normal as Normal,
)
from .specs.training import (
    PublishedWeights as PublishedWeights,
)
from .specs.training import (
    UniformFanIn as UniformFanIn,
)
from .specs.training import (
    highest as highest,
)
from .specs.training import (
    lowest as lowest,
)
from .store.store import (
    Store as Store,
)
from .tasks.task import (
    Key as Key,
)
from .training.loop import (
    Runtime as Runtime,
)
