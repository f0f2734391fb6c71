"""Label Studio projects: reading tasks, fetching photos, giving predictions back."""
