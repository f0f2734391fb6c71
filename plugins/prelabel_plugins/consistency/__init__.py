"""Consistencies: the answers of several levels to one."""
