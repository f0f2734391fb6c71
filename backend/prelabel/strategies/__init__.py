"""Strategies: what each kind promises, how a name becomes one, and the checks of both."""
