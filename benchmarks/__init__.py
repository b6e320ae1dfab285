"""Benchmarks of this machine, behind `python -m benchmarks`."""
