"""Names of classes, learned from what people named."""
