"""Commands that prepare data: `subind data`."""

from pathlib import Path
from typing import Annotated, Literal, assert_never

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from subind.tasks.photographs.segmenters import Felzenszwalb, Sam, Segmenter, Slic
from sweeps.cli.app import app, err, out
from sweeps.hosts.workers import num_cores

data = typer.Typer(help="Prepare images.", no_args_is_help=True)
app.add_typer(data, name="data")

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
    """Paint each segment of each image in its mean colour. The same command again makes what is missing."""
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
        err.print(f"{len(done.failures)} images could not be read; mend or remove them", style="red")
        raise typer.Exit(1)
