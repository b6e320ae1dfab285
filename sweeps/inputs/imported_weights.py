"""Import a user's weights: check them, and put them into the store under their SHA-256."""

from pathlib import Path

from safetensors import SafetensorError, deserialize

from subind.store.store import Store
from sweeps.inputs import published_weights
from sweeps.inputs.architectures import MOST_HEADER_BYTES

WEIGHTS_FILE = "model.safetensors"
"""The name that `save_pretrained` gives to the weights."""


def import_weights(store: Store, path: Path) -> str:
    """Put a file of weights into the store; return its SHA-256, or the name of a file that torchvision publishes
    (*.pth).

    Of a folder the file that `save_pretrained` writes is taken. Raises ValueError if there is none, if it is no
    safetensors file, or not the published one.
    """
    if path.is_dir():
        return import_weights(store, _file_of_folder(path))
    if path.suffix == published_weights.ENDING:
        return published_weights.import_published(store, path)
    _check_is_safetensors(path)
    content = path.read_bytes()
    try:
        tensors = deserialize(content)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise ValueError(f"{path} is not a safetensors file ({error}): save the model with save_pretrained") from None
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


def _file_of_folder(folder: Path) -> Path:
    """The weights in a folder that transformers' `save_pretrained` wrote."""
    file = folder / WEIGHTS_FILE
    if file.is_file() and (folder / "config.json").is_file():
        return file
    sharded = (folder / f"{WEIGHTS_FILE}.index.json").is_file()
    remedy = "save it with max_shard_size large enough for one file" if sharded else "give what save_pretrained wrote"
    raise ValueError(f"{folder} is not a file, and it lacks config.json or {WEIGHTS_FILE}: {remedy}")


def _check_is_safetensors(path: Path) -> None:
    """Refuse a missing file or an impossible header before the file is read into memory."""
    if not path.is_file():
        raise ValueError(f"{path} is not a file: give a safetensors file of transformers' GPT2LMHeadModel")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
    if size < 8 or not 2 <= length <= min(size - 8, MOST_HEADER_BYTES):
        raise ValueError(
            f"{path} is not a safetensors file (of its {size:,} bytes it says {length:,} are the header): "
            "save the model with save_pretrained"
        )
