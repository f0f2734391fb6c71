"""The report of a run: one HTML page that needs no network, with thumbnails beside it."""

from prelabel.report.page import write_report
from prelabel.report.thumbnails import PICTURES, Thumbnails

__all__ = ["PICTURES", "Thumbnails", "write_report"]
