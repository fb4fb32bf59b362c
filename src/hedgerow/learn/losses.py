"""What is learned from, one pure function a loss.

In: scores of a student and of its teacher, or vectors. Out: one number. None keeps a state; none knows a network.
Nothing of a teacher's gets a gradient.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

SHARPNESS = 0.1  # the student's temperature: DINO's and iBOT's
CONTRAST = 0.1  # temperature of contrasting
OBJECTS = 0.5  # that of contrasting pixels with objects: MaskContrast's


def targets(scores: Tensor, centre: Tensor, temperature: float) -> Tensor:
    """(..., K) a teacher's scores -> probabilities: centred, so that no prototype takes all, and sharpened, so that
    they do not all share (DINO, Caron et al. 2021, section 3.1)."""
    return F.softmax((scores.detach().float() - centre) / temperature, -1)


def distillation(student: Tensor, target: Tensor, weight: Tensor | None = None, total: Tensor | None = None) -> Tensor:
    """Mean cross-entropy of (..., K) a student's scores against a teacher's probabilities (DINO eq. 1, iBOT eq. 2);
    `weight` (...) says how much each row counts, and a row of nothing counts for nothing. `total` is the sum of weights
    to divide by where these rows are a share of more: the mean of it over shares makes their mean that of all."""
    entropy = -(target * F.log_softmax(student.float() / SHARPNESS, -1)).sum(-1)
    if weight is None:
        return entropy.mean()
    total = weight.sum() if total is None else total
    return (entropy * weight).sum() / total.clamp(min=1e-6)


def views_agree(student: list[Tensor], target: list[Tensor]) -> Tensor:
    """DINO eq. 3: every view of the student's, (B, K) each, against the teacher's large views, all but the same one.

    The teacher's views are the first of the student's.
    """
    pairs = [distillation(mine, theirs) for i, theirs in enumerate(target) for j, mine in enumerate(student) if i != j]
    return torch.stack(pairs).mean()


def spread(vectors: Tensor, others: Tensor | None = None, own: int = 0) -> Tensor:
    """KoLeo (Sablayrolles et al. 2019, eq. 2; DINOv2 section 4): minus the log of each vector's distance to its
    nearest other, all brought to length 1. Row i of `vectors` is row own + i of `others`."""
    unit = F.normalize(vectors.float(), dim=-1)
    others = unit.detach() if others is None else F.normalize(others.float(), dim=-1)
    rows = torch.arange(len(unit), device=unit.device)
    with torch.no_grad():
        likeness = unit @ others.T
        likeness[rows, own + rows] = -2
        nearest = likeness.argmax(1)
    distance = (unit - others[nearest] + 1e-8).norm(dim=1)
    return -(distance + 1e-8).log().mean()


def contrast(
    queries: Tensor,
    keys: Tensor,
    photo: Tensor,
    valid: Tensor,
    *,
    own: int = 0,
    among: float = 1.0,
    total: Tensor | None = None,
) -> Tensor:
    """InfoNCE (van den Oord et al. 2018, eq. 4; MoCo section 3.1; for places DenseCL's, Wang et al. 2021, eq. 2): each
    query (M, E) finds its own key among all keys (N, E), all of length 1. Query i's key is row own + i.

    `photo` (N,) numbers the photo a key is of, `valid` (N,) bool says which keys there are at all. Another key of the
    query's own photo may be a part of the same thing: it weighs `among` (0: it is no rival). `total` is the number of
    queries to divide by, as in `distillation`.
    """
    rows = own + torch.arange(len(queries), device=queries.device)
    logits = queries.float() @ keys.detach().float().T / CONTRAST
    kin = photo[rows, None] == photo[None]
    kin[torch.arange(len(rows), device=rows.device), rows] = False
    weight = torch.where(kin, among, 1.0) * valid
    logits = logits + weight.log()  # of a weight of 0 nothing is left
    entropy = F.cross_entropy(logits[valid[rows]], rows[valid[rows]], reduction="sum")
    total = valid[rows].sum() if total is None else total
    return entropy / total.clamp(min=1)


def prototypes(vectors: Tensor, member: Tensor) -> Tensor:
    """(P, E) unit vectors of pixels, (O, P) which of them an object has -> (O, E), the direction of the sum of each
    object's (MaskContrast, Van Gansbeke et al. 2021, section 3.3). Pixels outside count for nothing."""
    return F.normalize(member.to(vectors.dtype) @ vectors, dim=-1)


def evened(pixels: Tensor, total: Tensor | None = None) -> Tensor:
    """(O,) pixels of each object -> how much each of its pixels counts: 1 / ln(1.02 + share of all), ENet's weights,
    which MaskContrast takes. They damp large objects, by about the square root. `total` is the number of all pixels
    where these objects are a share of more."""
    total = pixels.sum() if total is None else total
    return 1 / torch.log(1.02 + pixels / total.clamp(min=1))


def mask_contrast(
    queries: Tensor, keys: Tensor, own: Tensor, *, weight: Tensor, rival: Tensor, total: Tensor | None = None
) -> Tensor:
    """MaskContrast eq. 2: each pixel (M, E) finds the prototype of its object among all (N, E), all of length 1. Pixel
    i's object is own[i]; `rival` (M, N) bool says which others it is told from: those that overlap its own object in
    the photo are not. The mean is by `weight` (M,); `total` is the sum of weights to divide by, as in `distillation`.
    """
    logits = queries.float() @ keys.detach().float().T / OBJECTS
    shown = rival.clone()
    shown[torch.arange(len(own), device=own.device), own] = True
    entropy = F.cross_entropy(logits.masked_fill(~shown, -torch.inf), own, reduction="none")
    total = weight.sum() if total is None else total
    return (entropy * weight).sum() / total.clamp(min=1e-6)


def balanced_salience(logits: Tensor, target: Tensor, ground: Tensor | None = None) -> Tensor:
    """Cross-entropy of (B, ...) logits that a pixel stands out, objects weighing as much as the ground's share and the
    ground as much as theirs (MaskContrast's second loss): without it all pixels of a photo could take one vector.
    `ground` is that share where these pixels are a part of more."""
    target = target.float()
    ground = 1 - target.mean() if ground is None else ground
    weight = torch.where(target > 0.5, ground, 1 - ground)
    return (F.binary_cross_entropy_with_logits(logits.float(), target, reduction="none") * weight).mean()
