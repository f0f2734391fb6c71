"""Example strategies for prelabel."""
