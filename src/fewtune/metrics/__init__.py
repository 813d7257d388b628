"""Scores, how far to trust them, and whether one candidate beats another."""

from fewtune.metrics.base import OutOfFold
from fewtune.metrics.calibration import abstention, apply_temperature, fit_temperature, log_probabilities, reliability
from fewtune.metrics.classification import ClassificationScores, classification_scores
from fewtune.metrics.intervals import Interval, accuracy_interval, class_intervals, metric_interval, score_intervals
from fewtune.metrics.paired import Comparison, compare, compare_scores, constant_scores
from fewtune.metrics.selection import (
    SelectionScore,
    bootstrap_bias_corrected,
    one_standard_error,
    one_standard_error_rule,
)

__all__ = [
    "ClassificationScores",
    "Comparison",
    "Interval",
    "OutOfFold",
    "SelectionScore",
    "abstention",
    "accuracy_interval",
    "apply_temperature",
    "bootstrap_bias_corrected",
    "class_intervals",
    "classification_scores",
    "compare",
    "compare_scores",
    "constant_scores",
    "fit_temperature",
    "log_probabilities",
    "metric_interval",
    "one_standard_error",
    "one_standard_error_rule",
    "reliability",
    "score_intervals",
]
