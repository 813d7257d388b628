"""Scores, how far to trust them, and whether one candidate beats another."""

from fewtune.metrics.answers import Answers, by_prompt
from fewtune.metrics.base import OutOfFold
from fewtune.metrics.calibration import abstention, apply_temperature, fit_temperature, log_probabilities, reliability
from fewtune.metrics.classification import ClassificationScores, classification_scores
from fewtune.metrics.forgetting import Forgetting, compare_forgetting, measure_forgetting
from fewtune.metrics.generation import TextScores, compare_all, score_all
from fewtune.metrics.intervals import Interval, accuracy_interval, class_intervals, metric_interval, score_intervals
from fewtune.metrics.likelihood import Likelihoods
from fewtune.metrics.marks import SignTest, marks_to_tell, sign_test
from fewtune.metrics.memorisation import Memorisation, measure_memorisation
from fewtune.metrics.paired import Comparison, compare, compare_scores, constant_scores
from fewtune.metrics.paired_corpus import compare_texts, paired_bootstrap, randomisation_test
from fewtune.metrics.selection import (
    SelectionScore,
    bootstrap_bias_corrected,
    one_standard_error,
    one_standard_error_rule,
)

__all__ = [
    "Answers",
    "ClassificationScores",
    "Comparison",
    "Forgetting",
    "Interval",
    "Likelihoods",
    "Memorisation",
    "OutOfFold",
    "SelectionScore",
    "SignTest",
    "TextScores",
    "abstention",
    "accuracy_interval",
    "apply_temperature",
    "bootstrap_bias_corrected",
    "by_prompt",
    "class_intervals",
    "classification_scores",
    "compare",
    "compare_all",
    "compare_forgetting",
    "compare_scores",
    "compare_texts",
    "constant_scores",
    "fit_temperature",
    "log_probabilities",
    "marks_to_tell",
    "measure_forgetting",
    "measure_memorisation",
    "metric_interval",
    "one_standard_error",
    "one_standard_error_rule",
    "paired_bootstrap",
    "randomisation_test",
    "reliability",
    "score_all",
    "score_intervals",
    "sign_test",
]
