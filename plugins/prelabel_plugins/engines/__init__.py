"""Engines: what does the jobs of a command."""
