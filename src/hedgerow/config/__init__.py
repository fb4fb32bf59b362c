"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from hedgerow.config.errors import CallerError, UsageError
from hedgerow.config.learning import COURSES, MIDDLE, RECIPES, Decoder, Network, Pretrain, Pull, Ship, Train, Views
from hedgerow.config.running import Evaluate, EvaluateFeatures, EvaluateRegions, Labelling, Segment
from hedgerow.config.seeing import Borders, Candidates, Explore, Merge, Predict, Zoom

VERSION = "0.1.0"  # recorded in what is written: another version's results are not mixed with these

__all__ = [
    "COURSES",
    "MIDDLE",
    "RECIPES",
    "VERSION",
    "Borders",
    "CallerError",
    "Candidates",
    "Decoder",
    "Evaluate",
    "EvaluateFeatures",
    "EvaluateRegions",
    "Explore",
    "Labelling",
    "Merge",
    "Network",
    "Predict",
    "Pretrain",
    "Pull",
    "Segment",
    "Ship",
    "Train",
    "UsageError",
    "Views",
    "Zoom",
]
