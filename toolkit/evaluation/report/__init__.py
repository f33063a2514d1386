"""The report of a run: ``build`` computes it, ``write`` writes the files of a run, ``text`` puts it into words;
``write_control`` writes what its labels-only control said; ``learnt`` says which rows a finished run has seen the
labels of."""

from toolkit.evaluation.report.contents import build
from toolkit.evaluation.report.files import learnt, write, write_control
from toolkit.evaluation.report.plain_text import text

__all__ = ["build", "learnt", "text", "write", "write_control"]
