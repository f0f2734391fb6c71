"""Measuring predictions against ground truth."""

from prelabel.evaluation.costs import Costs, load_costs
from prelabel.evaluation.figures import Figures
from prelabel.evaluation.measure import GROUPS, Evaluation, evaluate
from prelabel.evaluation.tables import format_table, over_sets, write_json

__all__ = [
    "GROUPS",
    "Costs",
    "Evaluation",
    "Figures",
    "evaluate",
    "format_table",
    "load_costs",
    "over_sets",
    "write_json",
]
