"""Foreground rules: clusters to P(foreground)."""
