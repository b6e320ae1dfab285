"""Weights that a user gives: checked, and put into the store under their SHA-256."""

from pathlib import Path

from safetensors import SafetensorError, deserialize

from subind.store.store import Store
from sweeps.inputs import published_weights
from sweeps.inputs.architectures import MOST_HEADER_BYTES


def import_weights(store: Store, path: Path) -> str:
    """Put a file of weights into the store; its SHA-256, or the name of one that torchvision publishes (*.pth).

    Raises ValueError if it is no safetensors file, or not the published one.
    """
    if path.suffix == published_weights.ENDING:
        return published_weights.import_published(store, path)
    _check_is_safetensors(path)
    content = path.read_bytes()
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file ({error}): save the model with save_pretrained") from None
    known = {"wte.weight", "conv1.weight", "conv_proj.weight"}
    if not any(name.removeprefix("transformer.") in known for name, _ in tensors):
        raise ValueError(
            f"{path} has no wte.weight, conv1.weight or conv_proj.weight: give a file of transformers' "
            "GPT2LMHeadModel, or of torchvision's ResNet or VisionTransformer"
        )
    by_name = {name.removeprefix("transformer."): about["data"] for name, about in tensors}
    if by_name.get("lm_head.weight", by_name.get("wte.weight")) != by_name.get("wte.weight"):
        raise ValueError(f"{path} has lm_head.weight unlike wte.weight: give a model whose head is the token embedding")
    return store.add_weights(content)


def _check_is_safetensors(path: Path) -> None:
    """Refuse a file that is none, or whose header says nothing that could be, before it is read into memory."""
    if not path.is_file():
        raise ValueError(f"{path} is no file: give a safetensors file of transformers' GPT2LMHeadModel")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(size - 8, MOST_HEADER_BYTES):
        raise ValueError(
            f"{path} is no safetensors file (of its {size:,} bytes it says {length:,} are the header): "
            "save the model with save_pretrained"
        )
