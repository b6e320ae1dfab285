"""The rows of a grid and the files next to them."""
