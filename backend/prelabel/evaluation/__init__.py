"""Measuring predictions against ground truth."""

from prelabel.evaluation.against_coco import evaluate, format_table

__all__ = ["evaluate", "format_table"]
