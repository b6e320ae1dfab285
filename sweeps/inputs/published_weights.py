"""Import weights that torchvision publishes: from a file or its server, checked, and stored as safetensors.

Such a file is a pickle. It is read once, here, and may hold only tensors; the store never unpickles.
"""

import hashlib
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from subind.specs.quoting import quoted
from subind.specs.training import ImportedWeights, PublishedWeights
from subind.store.store import Store

if TYPE_CHECKING:
    from torch import Tensor

ENDING = ".pth"


def import_published(store: Store, path: Path, *, server: str = "") -> str:
    """Put a file of torchvision into the store; return its name for specs. A missing file is downloaded.

    `server` replaces torchvision's own server. Raises ValueError if the file is not the one that its name says,
    holds anything but the tensors of a ResNet or a VisionTransformer, or cannot be had.
    """
    name = PublishedWeights(file=path.stem).file
    if path.is_file():
        content = _converted(path, name)
    else:
        with tempfile.TemporaryDirectory(prefix="subind-import-") as folder:
            content = _converted(_downloaded(path, Path(folder), server), name)
    store.name_weights(name, store.add_weights(content))
    return name


def imported_weights(store: Store, weights: ImportedWeights | PublishedWeights) -> bytes:
    """The safetensors file that a donor starts from. Raises ValueError or OSError if the store lacks it."""
    digest = imported_digest(store, weights)
    if digest is None:
        assert isinstance(weights, PublishedWeights)
        raise ValueError(told_absent(weights.file, store))
    return store.weights(digest)


def imported_digest(store: Store, weights: ImportedWeights | PublishedWeights) -> str | None:
    """The SHA-256 of the file that a donor starts from; None for a published one that was not imported."""
    match weights:
        case ImportedWeights(sha256=sha256):
            return sha256
        case PublishedWeights(file=file):
            return store.named_weights(file)
        case _:
            assert_never(weights)


def told_absent(file: str, store: Store) -> str:
    """The message for published weights that the store lacks."""
    return (
        f"Train.weights.file is {quoted(file)}, which the store {store.url} lacks: put it there with "
        f"`subind import {file}{ENDING} --store {store.url}`, which downloads it unless it is a file"
    )


def _downloaded(path: Path, folder: Path, server: str) -> Path:
    import torch

    url = f"{server}/{path.stem}{ENDING}" if server else _url(path)
    target = folder / f"{path.stem}{ENDING}"
    try:
        torch.hub.download_url_to_file(url, str(target), progress=False)
    except OSError as error:
        remedy = "fetch the file where there is network, and give its path"
        raise ValueError(f"{path} is no file, and {url} cannot be had ({error}): {remedy}") from None
    return target


def _url(path: Path) -> str:
    """The URL of the file at torchvision. Raises ValueError if it publishes no such file."""
    from torchvision import models

    several = [each.url for name in models.list_models(module=models) for each in models.get_model_weights(name)]
    known = {url.rpartition("/")[2]: url for url in several}
    if path.name not in known:
        raise ValueError(f"{path} is no file, and torchvision publishes none of that name: give the path of a file")
    found: str = known[path.name]
    return found


def _converted(path: Path, name: str) -> bytes:
    """The file as safetensors, in the names of today's torchvision."""
    import torch
    from safetensors.torch import save

    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if not found.startswith(name.rpartition("-")[2]):
        remedy = f"fetch torchvision's {name}{ENDING} once more"
        raise ValueError(f"{path} has the SHA-256 {found[:8]}…, which its name does not end in: {remedy}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever a file raises that is none of tensors
        raise ValueError(f"{path} is not a file of tensors ({str(error).splitlines()[0]}): {_REMEDY}") from error
    if not isinstance(content, dict) or not all(isinstance(each, torch.Tensor) for each in content.values()):
        raise ValueError(f"{path} holds no state dict: {_REMEDY}")
    if not {"conv1.weight", "conv_proj.weight"} & content.keys():
        raise ValueError(f"{path} has neither conv1.weight nor conv_proj.weight: {_REMEDY}")
    return save({_name_of_today(key): _own(each) for key, each in content.items()})


_REMEDY = "give weights of torchvision's ResNet or VisionTransformer as it publishes them"


def _name_of_today(key: str) -> str:
    """Older files number a ViT's two projections of an MLP by themselves; torchvision counts what is between, too."""
    return re.sub(r"\.mlp\.linear_([12])\.", lambda found: f".mlp.{3 * (int(found[1]) - 1)}.", key)


def _own(tensor: "Tensor") -> "Tensor":
    return tensor.detach().clone().contiguous()
