"""What the commands do, without how they are typed: functions over a request that names a part of a grid."""

from dataclasses import dataclass

from subind.specs.quoting import quoted
from subind.specs.run import Run
from subind.specs.training import ImportedWeights
from subind.store.listing import Listing
from subind.store.store import Store
from sweeps.grids import Grid, Keep
from sweeps.grids.cells import chosen, condition
from sweeps.inputs.architectures import check_architectures
from sweeps.inputs.photographs import identified
from sweeps.planning.damaged_runs import with_damaged_parents
from sweeps.planning.keeping import with_kept
from sweeps.planning.plan import Plan, accounts

_SIGNS = {"<=": "_at_most_", ">=": "_at_least_", "!=": "_not_", "<": "_below_", ">": "_above_", "=": "_is_"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A part of a grid and the store that holds its runs; `added` are cells of further seeds.

    `images` is the folder of photographs that the runs are on, empty for those that the store remembers; `keep` are
    starts whose recipients leave their weights, besides those of the grid's KEEP.
    """

    grid: Grid
    where: tuple[str, ...]
    store: str
    added: tuple[Run, ...] = ()
    images: str = ""
    keep: Keep = ()

    @property
    def name(self) -> str:
        """What files of this part of the grid are called: the grid's name, and the conditions where there are any."""
        parts = [str(condition(text)) for text in self.where]
        for sign, word in _SIGNS.items():
            parts = [part.replace(sign, word) for part in parts]
        return "-".join([self.grid.label, *parts]).replace("/", "_").replace(" ", "")


def accounted(request: Request, store: Store, listing: Listing | None = None) -> Plan:
    """The plan for a request without packs, by the store's listing if the caller has one.

    Raises ValueError for a bad condition, or imported weights that the store has not.
    """
    cells = (*chosen(request.grid.cells, [condition(text) for text in request.where]), *request.added)
    cells = identified(cells, images=request.images, store=store)
    listing = listing or store.listing()
    found = accounts(
        request.grid.label,
        cells,
        finished=listing.finished.keys(),
        failed=listing.failed,
        damaged=listing.damaged,
    )
    found = with_damaged_parents(with_kept(found, store, (*request.grid.keep, *request.keep)), store)
    _check_imports(found, store)
    check_architectures(found.to_compute, store)
    return found


def _check_imports(found: Plan, store: Store) -> None:
    for run in found.missing:
        weights = found.runs[run].imported()
        if isinstance(weights, ImportedWeights) and not store.has_weights(weights.sha256):
            raise ValueError(
                f"Train.weights.sha256 is {quoted(weights.sha256)}: the store {store.url} has no such file; "
                "put it there with `subind import FILE`"
            )
