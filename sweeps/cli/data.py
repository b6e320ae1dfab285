"""Commands that prepare images: `subind data`."""

from pathlib import Path
from typing import Annotated, Literal, assert_never

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from subind.tasks.photographs.imagenet16 import NUM_IMAGES
from subind.tasks.photographs.segmenters import Felzenszwalb, Sam, Segmenter, Slic
from sweeps.cli.options import err, out
from sweeps.hosts.workers import num_cores

data = typer.Typer(help="Prepare images.", no_args_is_help=True)

Method = Literal["slic", "felzenszwalb", "sam"]


@data.command("mean-pool")
def mean_pool_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="The folder of the images, at any depth below.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="The folder for the mean-pooled images.")],
    *,
    method: Annotated[Method, typer.Option("--segmenter", help="How images are cut into segments.")] = "slic",
    num_segments: Annotated[int, typer.Option(help="Segments of an image, by slic.", min=1)] = 60,
    compactness: Annotated[float, typer.Option(help="Roundness of segments, by slic.")] = 10.0,
    scale: Annotated[float, typer.Option(help="Size of segments, by felzenszwalb.")] = 200.0,
    sigma: Annotated[float, typer.Option(help="Blur in pixels before, by felzenszwalb.")] = 0.8,
    min_size: Annotated[int, typer.Option(help="Fewest pixels of a segment, by felzenszwalb.", min=1)] = 50,
    weights: Annotated[str, typer.Option(help="Meta's checkpoint of SAM's ViT-H, by sam.")] = "",
    device: Annotated[str, typer.Option(help="What SAM runs on: cpu or cuda.")] = "cpu",
) -> None:
    """Paint each segment of each image in its mean colour. The same command makes missing images."""
    from sweeps.inputs.mean_pooling import pool_folder

    segmenter: Segmenter
    match method:
        case "slic":
            segmenter = Slic(num_segments=num_segments, compactness=compactness)
        case "felzenszwalb":
            segmenter = Felzenszwalb(scale=scale, sigma=sigma, min_size=min_size)
        case "sam":
            segmenter = Sam(backbone="vit_h", weights=weights, device=device)
            segmenter.check_present()
        case _:
            assert_never(method)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), console=err, transient=True) as bar:
        task = bar.add_task("images", total=None)
        done = pool_folder(
            source,
            target,
            segmenter,
            num_cpus=num_cores(),
            progress=lambda number, total: bar.update(task, completed=number, total=total),
        )
    out.print(f"{done.num_made} images mean-pooled, {done.num_there} were there: {target}")
    for name, reason in list(done.failures.items())[:10]:
        err.print(f"{name}: {reason}", style="red")
    if done.failures:
        err.print(f"{len(done.failures)} images could not be read; repair or remove them", style="red")
        raise typer.Exit(1)


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
            f"{len(done.failures)} images could not be read, so the cache is not finished: repair or remove them and "
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
    per_class: Annotated[int, typer.Option(help="The most photographs of a class.", min=1)] = 1000,
    seed: Annotated[int, typer.Option(help="The data seed of the task.", min=0, max=2**31 - 1)] = 0,
) -> None:
    """Link to the photographs of the balanced subset of 16-class ImageNet, for mean-pooling."""
    from sweeps.inputs.image_cache import link_balanced

    num = link_balanced(source, target, num_per_class=per_class, seed=seed)
    out.print(f"{num:,} photographs: {target}")
