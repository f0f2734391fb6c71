"""Label Studio on this machine, with sample photos."""
