"""The rows of a grid and the files beside them."""
