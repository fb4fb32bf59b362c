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
OUTLINED = 3.0  # how much a pixel counts on which something ends, against one on which nothing does


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


def cross_modal(likeness: Tensor, scale: Tensor | float) -> Tensor:
    """Symmetric InfoNCE of (B, B) cosines of photos (rows) and captions (columns), pair i in row and column i: each
    photo finds its caption among all, each caption its photo (ViL-Seg, Liu et al. 2022, cross-modal contrasting; as
    CLIP has it, Radford et al. 2021, figure 3). The paper's form is not known to us. We depart in that the cosine may
    be of a photo's vector that hangs on the caption, so it is given, not the two vectors."""
    logits = likeness.float() * scale
    own = torch.arange(len(logits), device=logits.device)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2


def assigned_together(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """(..., C) probabilities of clusters of one place in two views, (...) how much the place counts -> (C, C), how
    often cluster i in the one view goes with j in the other (IIC, Ji et al. 2019, eq. 2); the sum is that of weights.
    """
    mine, theirs = ((first * weight[..., None]).flatten(0, -2).float(), second.flatten(0, -2).float())
    together = mine.T @ theirs
    return (together + together.T) / 2


def mutual_information(together: Tensor, lam: float = 1.0) -> Tensor:
    """Minus the information that the cluster in one view gives of that in the other: online clustering (ViL-Seg's
    third loss, which says no more than that; the form is IIC's, Ji et al. 2019, eq. 3 and its code's `lamb`).

    `together` (C, C) is of all places of all views. It and its margins are kept from zero before the logarithm, as
    IIC does: an empty cluster would give NaN. `lam` above 1 rewards even clusters; at 1.5 knowing nothing of all 25
    is worth as much as 5 sure ones.
    """
    least = torch.finfo(torch.float64).eps
    joint = together.float()
    joint = joint / joint.sum().clamp(min=least)
    rows, columns = joint.sum(1, keepdim=True), joint.sum(0, keepdim=True)
    logs = [values.clamp(min=least).log() for values in (joint, rows, columns)]
    return -(joint * (logs[0] - lam * logs[1] - lam * logs[2])).sum()


def outline_loss(said: Tensor, wanted: Tensor) -> Tensor:
    """Mean cross-entropy of logits against how strong an outline is, 0 ... 1; where one is it counts OUTLINED times, as
    nearly everywhere there is none (HED, Xie & Tu 2015, section 2.2, weighs so by how rare they are)."""
    weight = torch.where(wanted > 0, OUTLINED, 1.0)
    return F.binary_cross_entropy_with_logits(said, wanted, weight=weight)


def agreement(said: Tensor, wanted: Tensor) -> Tensor:
    """The correlation of what is said, logits, with what was wanted: 1 where they agree, and 0 where one of them is the
    same everywhere."""
    pair = torch.stack([said.sigmoid().flatten(), wanted.flatten()])
    return torch.corrcoef(pair)[0, 1].nan_to_num()


def best_of(cosines: Tensor, valid: Tensor, temperature: float) -> Tensor:
    """(B, R, W) cosines of regions and words, (B, R) which regions there are -> (B, W), of each word the mean over the
    regions, weighed by the softmax of its own cosines: near the best region's, and no more for more regions."""
    hidden = (cosines.float() / temperature).masked_fill(~valid[..., None], -torch.inf)
    share = torch.softmax(torch.where(valid.any(1)[:, None, None], hidden, 0.0), 1)
    return (share * torch.where(valid[..., None], cosines.float(), 0.0)).sum(1)


def word_regions(score: Tensor, mentioned: Tensor, weight: Tensor, scale: Tensor | float) -> Tensor:
    """Words find the photos that they are said of, and photos their words: (B, W) scores of photos' best regions
    (`best_of`), (B, W) bool which photo's captions mention which word, (W,) how much a word counts.

    No loss of ViL-Seg's: FILIP (Yao et al. 2022, section 3.1) matches words and patches so, within one caption. We
    depart in that a word is read by itself, that regions of a forest may stand for patches, and that all photos that
    mention it are right answers. These do not compete: each is told from the wrong ones alone. With cross-entropy
    against all right ones at once, a photo of many words could do no better than be equally sure of each.
    """
    logits = score.float() * scale
    terms = []
    for rows, right, counts in (
        (logits, mentioned, weight.expand_as(logits) * mentioned),
        (logits.T, mentioned.T, (weight / mentioned.sum(0).clamp(min=1))[:, None] * mentioned.T),
    ):
        wrong = rows.masked_fill(right, -torch.inf).logsumexp(1, keepdim=True)
        told = F.softplus(wrong - rows)  # -log(e^right / (e^right + the sum of e^wrong))
        terms.append((told * counts).sum() / counts.sum().clamp(min=1e-12))
    return (terms[0] + terms[1]) / 2
