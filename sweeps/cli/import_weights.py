"""`subind import`."""

from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.options import StorePath, out
from sweeps.planning.store_checks import opened_store


def import_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="A folder that transformers' save_pretrained wrote, a safetensors file of GPT2LMHeadModel, or a .pth "
            "of torchvision's."
        ),
    ],
    store: StorePath = "store",
) -> None:
    """Put weights into the store, and print the line that names them in a grid.

    A file that torchvision publishes, such as resnet18-f37072fd.pth, is downloaded if the file is missing.
    """
    out.print(f"reading and checking {file}")
    from sweeps.inputs.imported_weights import import_weights

    name = import_weights(opened_store(store), file)
    is_published = file.suffix == ".pth"
    named = f'PublishedWeights(file="{name}")' if is_published else f'ImportedWeights(sha256="{name}")'
    out.print("in the store; a donor of a grid starts from it by this line of its Train(...):")
    out.print(f"weights={named},")
