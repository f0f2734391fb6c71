"""The report: pictures for people. One page without network, its thumbnails beside it."""

from prelabel.report.page import write_report
from prelabel.report.thumbnails import Thumbnails

__all__ = ["Thumbnails", "write_report"]
