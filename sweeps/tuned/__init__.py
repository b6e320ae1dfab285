"""What `subind tune` has chosen for grids: a file each, and how a grid reads its own."""

from sweeps.tuned.choice_files import Choice, file_of, made, mask, read, write

__all__ = ["Choice", "file_of", "made", "mask", "read", "write"]
