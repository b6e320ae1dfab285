"""Sweeps that run on a cluster without this machine."""
