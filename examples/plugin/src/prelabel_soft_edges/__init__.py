"""The refiner soft-edges for prelabel."""
