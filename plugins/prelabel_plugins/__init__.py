"""The strategies that come with prelabel: one file, one strategy."""
