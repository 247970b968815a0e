"""Tests of differences: pure functions of two runs' answers to the same samples."""

from halluc.statistics.clusters import clustered_stderr, design_effect
from halluc.statistics.comparison import Comparison, NothingInCommon, compare, compare_scored
from halluc.statistics.paired import Difference
from halluc.statistics.significance import McNemar, holm, mcnemar, tie_groups

__all__ = [
    "Comparison",
    "Difference",
    "McNemar",
    "NothingInCommon",
    "clustered_stderr",
    "compare",
    "compare_scored",
    "design_effect",
    "holm",
    "mcnemar",
    "tie_groups",
]
