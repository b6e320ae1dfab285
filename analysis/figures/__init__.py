"""Figures: each module draws the numbers that it is given and computes none."""
