"""Choosing settings by how well they do on labelled photos that are left out."""
