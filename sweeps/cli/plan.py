"""`subind plan`."""

import json
from typing import Annotated

import typer

from sweeps.cli.costs import chosen_workers, cost_data, cost_of, print_cost
from sweeps.cli.options import (
    AsJson,
    Device,
    GridName,
    Images,
    Keep,
    Set,
    StorePath,
    Where,
    err,
)
from sweeps.cli.printing import absolute, print_damaged, print_plan, warn_of_changed_sources, warn_of_unnamed_images
from sweeps.grids.overrides import given_grid
from sweeps.planning.preparation import check_room, prepared
from sweeps.planning.request import Request
from sweeps.planning.store_checks import opened_store


def plan_command(
    grid: GridName,
    *,
    where: Where = None,
    overrides: Set = None,
    store: StorePath = "store",
    device: Device = "auto",
    cost: Annotated[bool, typer.Option("--cost", help="Print device-hours, and money with --price-per-hour.")] = False,
    price_per_hour: Annotated[
        float | None, typer.Option(help="The price of one device for one hour, in any currency.", min=0)
    ] = None,
    device_name: Annotated[
        str | None, typer.Option(help="Plan for other devices: cpu, or a card such as 'NVIDIA L4'.")
    ] = None,
    num_devices: Annotated[int | None, typer.Option(help="How many devices of --device-name.", min=1)] = None,
    images: Images = "",
    keep: Keep = None,
    as_json: AsJson = False,
) -> None:
    """Show what a run would do: how many runs are missing, in how many packs, how long they take, and what they
    cost.
    """
    request = Request(
        grid=given_grid(grid, overrides),
        where=tuple(where or ()),
        store=store,
        images=absolute(images),
        keep=tuple(keep or ()),
    )
    opened = opened_store(request.store)
    made = prepared(request, opened, chosen_workers(device, device_name, num_devices))
    bill = cost_of(made, opened, price_per_hour) if cost or price_per_hour is not None else None
    try:
        check_room(made)
    except ValueError as error:
        err.print(f"a run with these workers is refused: {error}", style="yellow")
    warn_of_unnamed_images(made.plan)
    warn_of_changed_sources(request, made.plan, opened)
    if as_json:
        data = made.data()
        print(json.dumps(data if bill is None else {**data, "cost": cost_data(*bill)}))
        return
    print_plan(made, request.grid.overrides)
    print_damaged(made.plan)
    if bill is not None:
        print_cost(made.plan, *bill)
