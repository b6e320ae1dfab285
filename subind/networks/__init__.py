"""The networks: GPT-2, ResNet and ViT on packs."""
