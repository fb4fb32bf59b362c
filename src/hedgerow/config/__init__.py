"""Every knob, as frozen dataclasses; standard library only. The command line is generated from these."""

from hedgerow.config.captions import CAPTIONS, Caption, CaptionPull, Text
from hedgerow.config.categories import Cluster, Gather, Index, Search
from hedgerow.config.drawing import Draw
from hedgerow.config.errors import CallerError, UsageError
from hedgerow.config.exchange import Export, ExportFormat, Import, ImportFormat
from hedgerow.config.learning import (
    CONTRASTS,
    COURSES,
    MIDDLE,
    OUTLINES,
    RECIPES,
    Contrast,
    Decoder,
    Network,
    Outline,
    Pretrain,
    Pull,
    Ship,
    Train,
    Views,
)
from hedgerow.config.names import EvaluateNames, NamedRegions
from hedgerow.config.prior import Prior, Propose
from hedgerow.config.running import Evaluate, EvaluateFeatures, EvaluateRegions, Labelling, Segment
from hedgerow.config.seeing import Borders, Candidates, Explore, Merge, Predict, Zoom
from hedgerow.config.semantic import EvaluateSemantic, EvaluateVideo, FineTune, Follow, SemanticProtocol
from hedgerow.config.serving import Serve

VERSION = "0.1.0"  # recorded in what is written: another version's results are not mixed with these

__all__ = [
    "CAPTIONS",
    "CONTRASTS",
    "COURSES",
    "MIDDLE",
    "OUTLINES",
    "RECIPES",
    "VERSION",
    "Borders",
    "CallerError",
    "Candidates",
    "Caption",
    "CaptionPull",
    "Cluster",
    "Contrast",
    "Decoder",
    "Draw",
    "Evaluate",
    "EvaluateFeatures",
    "EvaluateNames",
    "EvaluateRegions",
    "EvaluateSemantic",
    "EvaluateVideo",
    "Explore",
    "Export",
    "ExportFormat",
    "FineTune",
    "Follow",
    "Gather",
    "Import",
    "ImportFormat",
    "Index",
    "Labelling",
    "Merge",
    "NamedRegions",
    "Network",
    "Outline",
    "Predict",
    "Pretrain",
    "Prior",
    "Propose",
    "Pull",
    "Search",
    "Segment",
    "SemanticProtocol",
    "Serve",
    "Ship",
    "Text",
    "Train",
    "UsageError",
    "Views",
    "Zoom",
]
