"""Scores with intervals, paired comparisons, plain baselines and the report of a run.

``metrics`` scores one set of probabilities, ``comparison`` sets two beside each other, ``baselines`` fits what a deep
model has to beat, ``report`` builds, writes and prints the files of a run, ``run_comparison`` reads them again.
"""
