"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from hedgerow.config.categories import Cluster, Gather, Index, Search
from hedgerow.config.errors import CallerError, UsageError
from hedgerow.config.learning import (
    CONTRASTS,
    COURSES,
    MIDDLE,
    RECIPES,
    Contrast,
    Decoder,
    Network,
    Pretrain,
    Pull,
    Ship,
    Train,
    Views,
)
from hedgerow.config.prior import Prior, Propose
from hedgerow.config.running import Evaluate, EvaluateFeatures, EvaluateRegions, Labelling, Segment
from hedgerow.config.seeing import Borders, Candidates, Explore, Merge, Predict, Zoom
from hedgerow.config.semantic import EvaluateSemantic, EvaluateVideo, FineTune, Follow, SemanticProtocol

VERSION = "0.1.0"  # recorded in what is written: another version's results are not mixed with these

__all__ = [
    "CONTRASTS",
    "COURSES",
    "MIDDLE",
    "RECIPES",
    "VERSION",
    "Borders",
    "CallerError",
    "Candidates",
    "Cluster",
    "Contrast",
    "Decoder",
    "Evaluate",
    "EvaluateFeatures",
    "EvaluateRegions",
    "EvaluateSemantic",
    "EvaluateVideo",
    "Explore",
    "FineTune",
    "Follow",
    "Gather",
    "Index",
    "Labelling",
    "Merge",
    "Network",
    "Predict",
    "Pretrain",
    "Prior",
    "Propose",
    "Pull",
    "Search",
    "Segment",
    "SemanticProtocol",
    "Ship",
    "Train",
    "UsageError",
    "Views",
    "Zoom",
]
