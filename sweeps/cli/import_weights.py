"""`subind import`."""

from pathlib import Path
from typing import Annotated

import typer

from sweeps.cli.options import StorePath
from sweeps.inputs.imported_weights import import_weights
from sweeps.planning.store_checks import opened_store


def import_command(
    file: Annotated[
        Path, typer.Argument(help="A safetensors file of transformers' GPT2LMHeadModel, or a .pth of torchvision's.")
    ],
    store: StorePath = "store",
) -> None:
    """Put weights into the store for donors to start from, and print what names them in a spec.

    A file that torchvision publishes, such as resnet18-f37072fd.pth, is downloaded if it is not there.
    """
    print(import_weights(opened_store(store), file))
