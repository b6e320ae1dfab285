"""The stages: train a donor, discover a mask, train a recipient."""
