"""Photographs of 16 classes: a tree of ImageNet, caches of resized images, squares cut from them, and batches."""
