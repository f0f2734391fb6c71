"""Separators: foreground to regions that may touch."""
