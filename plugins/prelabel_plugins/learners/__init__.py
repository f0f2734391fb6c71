"""Learners: labelled patches to the class of any patch."""
