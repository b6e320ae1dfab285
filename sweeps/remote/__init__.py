"""Sweeps on a cluster, driven there: the bundle for its nodes, and its jobs."""
