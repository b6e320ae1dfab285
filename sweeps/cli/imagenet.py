"""Commands that prepare 16-class ImageNet: `subind data imagenet16` and `subind data balanced`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from subind.tasks.photographs.imagenet16 import NUM_IMAGES
from sweeps.cli.app import err, out
from sweeps.cli.data import data
from sweeps.hosts.workers import num_cores

MOST_TOLD = 10


@data.command("imagenet16")
def imagenet16_command(
    source: Annotated[
        Path, typer.Argument(metavar="SRC", help="ImageNet-1k, train/nXXXXXXXX/*.JPEG, or a part of it mean-pooled.")
    ],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder for the cache.")],
    *,
    shorter_side: Annotated[int, typer.Option(help="Pixels of the shorter side of an image.", min=1)] = 256,
) -> None:
    """Decode the photographs of 16-class ImageNet once, so that training need not.

    The same command again makes what is missing.
    """
    from sweeps.inputs.image_cache import cache_tree

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task("shards", total=None)
        done = cache_tree(
            source,
            target,
            shorter_side=shorter_side,
            num_cpus=num_cores(),
            say=out.print,
            progress=lambda number, total: bar.update(task, completed=number, total=total),
        )
    for name, reason in list(done.failures.items())[:MOST_TOLD]:
        err.print(f"{name}: {reason}", style="red")
    if done.failures:
        err.print(
            f"{len(done.failures)} images could not be read, so the cache is not finished: mend or remove them and "
            "run the command again",
            style="red",
        )
        raise typer.Exit(1)
    if not done.is_pooled and done.num_images != NUM_IMAGES:
        err.print(
            f"the tree has {done.num_images:,} photographs of the 16 classes, and ImageNet-1k {NUM_IMAGES:,}: "
            f"tasks over it say num_images={done.num_images}",
            style="yellow",
        )
    out.print(
        f"{done.num_images:,} images, {done.num_made} shards made, {done.num_there} were there: {target}, "
        f"fingerprint {done.fingerprint}"
    )


@data.command("balanced")
def balanced_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="ImageNet-1k, train/nXXXXXXXX/*.JPEG.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder for the links.")],
    *,
    per_class: Annotated[int, typer.Option(help="At most so many photographs of a class.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The data seed of the task.", min=0, max=2**31 - 1)] = 0,
) -> None:
    """Link to the photographs of the balanced subset of 16-class ImageNet, which are those to mean-pool."""
    from sweeps.inputs.image_cache import link_balanced

    num = link_balanced(source, target, num_per_class=per_class, seed=seed)
    out.print(f"{num:,} photographs: {target}")
