"""Predictions of tasks, and of prompts."""
