"""What commands write to disk."""
