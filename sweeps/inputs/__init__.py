"""Inputs of runs: photographs and imported weights."""
