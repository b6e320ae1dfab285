"""What a precision asks of PyTorch."""

import torch

from subind.specs.optimizers import Precision


def set_products(precision: Precision, device: str) -> None:
    """Have PyTorch's float32 products be what the precision says. Raises ValueError if the device has no such ones."""
    if precision == "tf32" and not device.startswith("cuda"):
        raise ValueError(f"precision is 'tf32', and {device} has none: run on a CUDA device or give 'float32'")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"
