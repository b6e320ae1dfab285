"""The public names, each with the module that it stands in."""

from .computing import (
    Computed as Computed,
    compute as compute,
)
from .measurements.additivity import Additivity as Additivity
from .measurements.agreement import Agreement as Agreement
from .measurements.cue_conflict import CueConflict as CueConflict
from .measurements.masked_accuracy import MaskedAccuracy as MaskedAccuracy
from .measurements.per_class import PerClass as PerClass
from .specs.any_module import AnyModule as AnyModule
from .specs.arithmetic import (
    ArithmeticTask as ArithmeticTask,
    Operation as Operation,
    SeveralOperations as SeveralOperations,
    readings as readings,
)
from .specs.base import (
    Checked as Checked,
    Open as Open,
)
from .specs.digits import DigitsTask as DigitsTask
from .specs.images import (
    ImageNet16Task as ImageNet16Task,
    ShapesTask as ShapesTask,
)
from .specs.mask_methods import (
    ContinuousSparsification as ContinuousSparsification,
    MaskMethod as MaskMethod,
    StraightThrough as StraightThrough,
)
from .specs.measurements import Measurement as Measurement
from .specs.network import Network as Network
from .specs.networks import (
    GPT2 as GPT2,
    MLP as MLP,
    ResNet as ResNet,
    ViT as ViT,
)
from .specs.optimizers import (
    AdamW as AdamW,
    ClipNorm as ClipNorm,
    NoClip as NoClip,
    SGD as SGD,
)
from .specs.rows import (
    Part as Part,
    RepeatedPart as RepeatedPart,
)
from .specs.run import (
    Run as Run,
    lineage as lineage,
    steps_per_epoch as steps_per_epoch,
)
from .specs.runs import (
    Discover as Discover,
    Distillation as Distillation,
    Measure as Measure,
    NoSecondTask as NoSecondTask,
    NoTeacher as NoTeacher,
    SecondTask as SecondTask,
    Train as Train,
    Transfer as Transfer,
)
from .specs.starts import (
    ComplementAsReleased as ComplementAsReleased,
    ComplementSubnetwork as ComplementSubnetwork,
    DataMixture as DataMixture,
    DonorStart as DonorStart,
    FullTransfer as FullTransfer,
    LongerDonor as LongerDonor,
    MaskedStart as MaskedStart,
    NewHead as NewHead,
    RandomAsReleased as RandomAsReleased,
    RandomInit as RandomInit,
    RandomSubnetwork as RandomSubnetwork,
    Start as Start,
    Subnetwork as Subnetwork,
    SubnetworkTrainable as SubnetworkTrainable,
    SubnetworkTrainedAlone as SubnetworkTrainedAlone,
    UnmaskedOnly as UnmaskedOnly,
)
from .specs.tasks import (
    AnyInputs as AnyInputs,
    Features as Features,
    Images as Images,
    Signature as Signature,
    Task as Task,
    Tokens as Tokens,
)
from .specs.temperature import TemperatureSchedule as TemperatureSchedule
from .specs.training import (
    AsInitialised as AsInitialised,
    BestEpoch as BestEpoch,
    EarlyStop as EarlyStop,
    FreshWeights as FreshWeights,
    FrozenAlways as FrozenAlways,
    FrozenFor as FrozenFor,
    ImportedWeights as ImportedWeights,
    LastEpoch as LastEpoch,
    NoEarlyStop as NoEarlyStop,
    Normal as Normal,
    PublishedWeights as PublishedWeights,
    UniformFanIn as UniformFanIn,
    highest as highest,
    lowest as lowest,
)
from .starts.rescaled import RescaledTransfer as RescaledTransfer
from .starts.union import Union as Union
from .store.store import Store as Store
from .tasks.task import Key as Key
from .training.loop import Runtime as Runtime
