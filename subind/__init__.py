"""Subtask Induction: find the subnetwork that computes a subtask, transplant it, and measure what it saves.

An experiment is Task × Network × Stage. What stands here is what a grid file and a notebook need; the rooms have the
rest. `__init__.pyi` lists the names; each is loaded when it is first used, for planning needs no torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
