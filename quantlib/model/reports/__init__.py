"""Reports: what every tensor of a float model and its quantized form holds, and what errors are.

`write_report` runs both models; `pairs` says which tensors stand for each other, `statistics` and
`split` measure them, `advice` judges, and `files` and `page` write.
"""

from quantlib.model.reports.api import write_report
from quantlib.model.reports.diff import ReportDiff, diff_reports
from quantlib.model.reports.report import Report, read_report

__all__ = ["Report", "ReportDiff", "diff_reports", "read_report", "write_report"]
