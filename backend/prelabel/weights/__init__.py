"""Weights of backbones: where they come from, and loading them."""
