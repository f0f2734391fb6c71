"""Label Studio's formats: label configs, result items, tasks."""
