"""A stand-in for label-studio-ml's main branch, which no package index has."""
