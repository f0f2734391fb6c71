"""Clusterers: points to clusters."""
