"""The report of a run: ``build`` computes it, ``write`` writes the files of a run, ``text`` puts it into words."""

from toolkit.evaluation.report.contents import build
from toolkit.evaluation.report.files import write
from toolkit.evaluation.report.plain_text import text

__all__ = ["build", "text", "write"]
