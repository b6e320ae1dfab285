"""Masks over the weights of a network."""
