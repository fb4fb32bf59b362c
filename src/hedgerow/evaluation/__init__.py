"""Measuring on labelled data sets: `evaluate` for forests (masks, regions, hierarchy), `evaluate_features` for what a
backbone sees before any forest is made, `evaluate_semantic` for categories, `evaluate_names`
for names and captions, `evaluate_video` for masks followed through
films. Labels are read for measuring only."""

from hedgerow.evaluation.features import FeatureReport, evaluate_features, write_feature_report
from hedgerow.evaluation.forests import Protocol, Report, evaluate, write_report
from hedgerow.evaluation.names import evaluate_names
from hedgerow.evaluation.pages import write_page
from hedgerow.evaluation.semantic import evaluate_semantic
from hedgerow.evaluation.video import evaluate_video

__all__ = [
    "FeatureReport",
    "Protocol",
    "Report",
    "evaluate",
    "evaluate_features",
    "evaluate_names",
    "evaluate_semantic",
    "evaluate_video",
    "write_feature_report",
    "write_page",
    "write_report",
]
