"""The ML backend's server."""
