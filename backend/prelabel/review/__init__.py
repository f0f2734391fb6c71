"""The review page: classes of regions are named, merged and split, whatever they come from."""
