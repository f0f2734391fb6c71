"""Backbones: photos to patch features."""
