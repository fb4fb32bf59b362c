"""The object-mask prior: which objects stand out in a photo, found without labels.

In: a photo's forest, features of its patches, or masks made elsewhere. Out: a flat `MaskForest`, the objects as roots,
the surest first, no two of which share a pixel; it may be empty.

MaskContrast (Van Gansbeke et al. 2021) starts from one mask a photo, which a saliency network draws; the published one
has learned from labels on the way. The ways here need none: `stand_out` ranks the regions of a forest (standing.py),
`salience` and `cut_out` cut the photo's patches in two (spectral.py), and a salience may be a cue among the others of
`stand_out`. `given_masks` reads what others made (given.py). All end in `objects` (objects.py): MaskContrast's rule for
small blobs, and who owns a pixel.
"""

from hedgerow.prior.given import given_masks
from hedgerow.prior.objects import objects, union
from hedgerow.prior.spectral import cut_out, pooled, salience
from hedgerow.prior.standing import stand_out

__all__ = ["cut_out", "given_masks", "objects", "pooled", "salience", "stand_out", "union"]
