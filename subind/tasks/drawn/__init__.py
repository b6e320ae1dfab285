"""Drawn images of 16 shapes and 16 textures, with exact segments."""
