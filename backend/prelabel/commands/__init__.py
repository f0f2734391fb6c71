"""The commands of the command line, thin: each reads its options and calls what does the work.

Nothing heavy is imported before a command runs, so that ``prelabel --help`` answers at once.
"""
