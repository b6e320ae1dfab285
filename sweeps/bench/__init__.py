"""Benchmarks of this machine, behind `subind bench`."""
