"""What a command leaves on disk."""
