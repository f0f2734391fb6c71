"""Embedders: regions to vectors."""
