"""May the images of a table be mirrored? Asked of the images, not of the user.

A linear probe on frozen features is shown an image and its mirror image and has to say which is which, for images it
was not fitted on (cross-fitting by image). Photographs of ants look as natural either way, so it can only guess;
mirrored digits, letters and clock faces look wrong, and augmentation that mirrors them would teach the network
something false. Mirroring is allowed unless the probe is right on clearly more than 55 % of the images (one-sided
binomial test, 5 %): on a thousand photographs it finds 51 or 52 %, on digits more than 80 %. Whether a probe for the
*classes* still recognises mirror images would not do: ImageNet networks were trained on mirrored photographs and
recognise a mirrored digit nearly as well. No label is used, and the images are the same however many of them are
labelled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from toolkit.evaluation import baselines
from toolkit.models import backbones
from toolkit.tables import Table
from toolkit.training import features
from toolkit.training.progress import say

if TYPE_CHECKING:
    import keras

SIGNIFICANCE = 0.05
NEARLY_GUESSING = 0.55
MIN_IMAGES, MAX_IMAGES = 20, 1000
FOLDS = 5


def decide(table: Table, backbone: "keras.Model | None", asked: str) -> dict[str, Any]:
    """Whether training mirrors images: as asked, or as the images say. Texts and series are not mirrored.

    Args:
        table: of any kind.
        backbone: pretrained; None: the embedded one judges.
        asked: ``"yes"``, ``"no"`` or ``"auto"``.

    Returns:
        Dict with reflect (bool) and, for ``"auto"``, what ``may_reflect`` found.
    """
    if table.kind != "image":
        return {"reflect": False, "asked": False}
    if asked != "auto":
        return {"reflect": asked == "yes", "asked": True}
    decision = may_reflect(table, backbone if backbone is not None else backbones.build("efficientnet_lite0"))
    say(f"mirroring {'allowed' if decision['reflect'] else 'not allowed'}: a probe tells {decision['told_apart']:.0%} "
        f"of {decision['images']} training images from their mirror images (guessing: 50%)")
    return decision


def may_reflect(table: Table, backbone: "keras.Model") -> dict[str, Any]:
    """Tests on images that are not test rows whether mirror images can be told from images.

    Args:
        table: of images; at most 1,000 of its training and validation rows are used, labelled or not.
        backbone: a pretrained one, from ``backbones.build``.

    Returns:
        Dict with reflect (bool), images (their number), told_apart (share of held-out images that the probe finds less
        mirrored than their mirror images) and p_value. With fewer than 20 images nothing is mirrored.
    """
    own = True if table.origins is None else table.origins == ""
    rows = np.flatnonzero((table.splits != "test") & own)
    rows = rows[np.linspace(0, len(rows) - 1, min(len(rows), MAX_IMAGES)).astype(int)]
    if len(rows) < MIN_IMAGES:
        return {"reflect": False, "images": len(rows), "told_apart": 0.5, "p_value": 1.0}
    plain = features.extract(backbone, table, rows)
    mirrored = features.extract(backbone, table, rows, reflect=True)
    told_apart = 0
    for held_out in (np.arange(len(rows)) % FOLDS == fold for fold in range(FOLDS)):
        shown = np.concatenate([plain[~held_out], mirrored[~held_out]])
        is_mirrored = np.repeat([0, 1], len(shown) // 2)
        groups = np.tile(np.flatnonzero(~held_out), 2)
        probe = baselines.logistic_regression(shown, is_mirrored, 2, groups=groups)
        told_apart += np.sum((mirrored[held_out] - plain[held_out]) @ (probe.kernel[:, 1] - probe.kernel[:, 0]) > 0)
    p_value = float(stats.binomtest(int(told_apart), len(rows), NEARLY_GUESSING, alternative="greater").pvalue)
    return {"reflect": p_value >= SIGNIFICANCE, "images": len(rows), "told_apart": float(told_apart / len(rows)),
            "p_value": p_value}
