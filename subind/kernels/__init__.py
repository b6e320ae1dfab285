"""Compiled operations on a CPU, and products whose rounding does not depend on the pack."""
