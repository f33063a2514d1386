r"""Denoising judged: an autoencoder beside a Gaussian blur and a median filter, by PSNR and SSIM.

.. math:: \mathrm{PSNR} = 10 \log_{10} \frac{1}{\mathrm{mean}\,(x - x')^2}

for values in [0, 1], in decibels; SSIM compares means, variances and covariance in small windows and lies in [-1, 1].
Strength of the blur and size of the median are those with the highest PSNR on images that are not judged.

References:
    Z. Wang, A. Bovik, H. Sheikh, E. Simoncelli (2004). Image quality assessment: from error visibility to structural
        similarity. https://doi.org/10.1109/TIP.2003.819861
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from scipy import ndimage

from toolkit import ToolkitError
from toolkit.evaluation.text_tables import aligned

BLURS = (0.5, 0.75, 1.0, 1.5, 2.0)  # standard deviations, in pixels
MEDIANS = (3, 5)  # sides of the window, in pixels
WINDOW = 7  # of SSIM, in pixels, or the largest odd number that fits
MAX_JUDGED = 500  # images

Filters = dict[str, Callable[[np.ndarray], np.ndarray]]
"""Name -> from images (n, S, S, C) to such."""


def to_judge(splits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Which images are judged, test rows where there are some, and which others may choose the filters.

    Args:
        splits: (n,) "train", "validation" or "test".

    Returns:
        Positions of at most 500 images each, the latter perhaps none.

    Example:
        >>> [rows.tolist() for rows in to_judge(np.array(["train", "test", "test", "validation"]))]
        [[1, 2], [0, 3]]
    """
    test = np.flatnonzero(splits == "test")
    judged = (test if len(test) else np.arange(len(splits)))[:MAX_JUDGED]
    return judged, np.setdiff1d(np.arange(len(splits)), judged)[:MAX_JUDGED]


def judged(clean: np.ndarray, noisy: np.ndarray, denoised: np.ndarray, filters: Filters, *,
           chosen_on: str) -> dict[str, Any]:
    """PSNR and SSIM of noisy images, of what an autoencoder makes of them and of what filters make of them.

    Args:
        clean: (n, S, S, C) values in [0, 1], n >= 1.
        noisy: likewise, clipped.
        denoised: by the autoencoder, likewise.
        filters: from ``best_filters``.
        chosen_on: images that these were chosen on, in words.

    Returns:
        dict for JSON: images, filters_chosen_on, and rows of name, psnr, ssim (means over the images).

    Raises:
        ToolkitError: scikit-image is missing.
    """
    check()
    ways = {"noisy": noisy, "autoencoder": denoised, **{name: apply(noisy) for name, apply in filters.items()}}
    rows = [{"name": name, "psnr": float(psnr(clean, values).mean()), "ssim": float(ssim(clean, values).mean())}
            for name, values in ways.items()]
    return {"images": len(clean), "filters_chosen_on": chosen_on, "rows": rows}


def check() -> None:
    """Refuses where scikit-image is missing."""
    try:
        import skimage  # noqa: F401
    except ImportError as error:
        raise ToolkitError('PSNR and SSIM need scikit-image, which is not installed: pip install "toolkit[denoise]".'
                           ) from error


def best_filters(clean: np.ndarray, noisy: np.ndarray) -> Filters:
    """The blur and the median with the highest PSNR.

    Args:
        clean: (n, S, S, C) values in [0, 1], n >= 1, best not those that will be judged.
        noisy: likewise, clipped.
    """
    blurs = {f"Gaussian blur, deviation {width:g}": partial(ndimage.gaussian_filter, sigma=(0, width, width, 0))
             for width in BLURS}
    medians = {f"median of {side} x {side}": partial(ndimage.median_filter, size=(1, side, side, 1))
               for side in MEDIANS}
    found = {}
    for ways in (blurs, medians):
        best = max(ways, key=lambda name: psnr(clean, ways[name](noisy)).mean())
        found[best] = ways[best]
    return found


def psnr(clean: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio of each image (n, S, S, C), (n,) in decibels, 100 where nothing differs.

    Example:
        >>> psnr(np.zeros((1, 8, 8, 1)), np.full((1, 8, 8, 1), 0.1)).round(6).tolist()
        [20.0]
    """
    squares = ((clean - values)**2).mean(axis=(1, 2, 3))
    return -10 * np.log10(np.maximum(squares, 1e-10))


def ssim(clean: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Structural similarity of each image (n, S, S, C), (n,)."""
    from skimage.metrics import structural_similarity

    window = min(WINDOW, clean.shape[1] - (clean.shape[1] + 1) % 2)
    return np.array([structural_similarity(one, other, data_range=1.0, channel_axis=-1, win_size=window)
                     for one, other in zip(clean, values, strict=True)])


def lines(found: dict[str, Any]) -> list[str]:
    """The table as lines for a terminal."""
    rows = [["", "PSNR in dB", "SSIM"]]
    rows += [[row["name"], f"{row['psnr']:.2f}", f"{row['ssim']:.3f}"] for row in found["rows"]]
    return [f"Denoising, means of {found['images']:,} images", *aligned(rows, "<>>"),
            f"The strength of the filters was chosen on {found['filters_chosen_on']}."]
