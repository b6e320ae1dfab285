"""The training loop, the packed optimiser, random draws, CUDA graphs and checkpoints."""
