"""Refiners: P(foreground) along the photo's edges."""
