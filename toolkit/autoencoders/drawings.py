r"""What the pictures of an autoencoder show, computed from its networks and the images it was trained on.

The input of norm r or less that excites unit j of one layer most is, whatever the increasing activation [1],

.. math:: x = r \, W_j / \lVert W_j \rVert

and of a deeper unit it is climbed for: x <- projection on the ball of (x + step * gradient / ||gradient||) [2].

References:
    [1] Ng 2011, Sparse autoencoder, section 4. https://web.stanford.edu/class/cs294a/sparseAutoencoder.pdf
    [2] Erhan, Bengio, Courville, Vincent 2009, Visualizing higher-layer features of a deep network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from toolkit.autoencoders import runs
from toolkit.autoencoders.components import Components
from toolkit.autoencoders.training import Trained
from toolkit.evaluation import autoencoder_pictures as pictures
from toolkit.models import explanations

if TYPE_CHECKING:
    import keras

    from toolkit.tables import Table

NUM_PICTURES, NUM_UNITS = 12, 100
NUM_CLIMBED, NUM_CLIMBED_LARGE, LARGE = 50, 12, 48  # units whose inputs are climbed for; in images above 48 pixels
NUM_MAPPED, NUM_NEIGHBOURED, FEWEST_NEIGHBOURED = 4000, 1500, 30  # rows of the maps by components and by t-SNE
STEPS, STEP = 100, 0.1  # of climbing, the latter in radii
ROWS_AT_ONCE = 8192

Drawing = Callable[[Path], None]


def drawings(table: "Table", images: np.ndarray, codes: np.ndarray, encoder: "keras.Model", trained: Trained,
             components: Components, facts: dict[str, Any]) -> dict[str, Drawing]:
    """All pictures of a run, by name of file; what they show is computed when they are drawn.

    Args:
        table: of n rows.
        images: (n, S, S, C) uint8.
        codes: (n, F).
        encoder: from raw images to codes.
        trained: the autoencoder.
        components: principal components of the training rows.
        facts: the report's ``training``: method, and what tells how active codes should be.
    """
    train = table.in_split("train")
    shown = table.in_split("test") if len(table.in_split("test")) else train
    found = {
        "reconstructions.png": partial(_reconstructions, images, codes, shown[:NUM_PICTURES], trained, components,
                                       facts),
        "codes.png": partial(_codes, table, codes, train),
        "activity.png": partial(_activity, codes[train], facts),
        "losses.png": partial(pictures.losses, curves(trained.history),
                              title=f"Training of a {facts['method']} autoencoder"),
        "exciting.png": partial(_exciting, trained, images[train], codes[train])}
    filters = first_filters(trained, encoder, images.shape[1:])
    if filters is not None:
        lines = [f"{min(NUM_UNITS, len(filters))} of {len(filters):,} filters of {filters.shape[1]} x "
                 f"{filters.shape[2]} pixels."]
        found["filters.png"] = partial(pictures.unit_tiles, filters[:NUM_UNITS], title="Filters of the first layer",
                                       lines=lines)
    return found


def _reconstructions(images: np.ndarray, codes: np.ndarray, rows: np.ndarray, trained: Trained, components: Components,
                     facts: dict[str, Any], path: Path) -> None:
    linear = components.decoded(components.codes(images[rows])).reshape(-1, *images.shape[1:])
    found = {"image": in_colour(images[rows]), "reconstruction": in_colour(trained.decoder(codes[rows]).numpy()),
             f"{components.directions.shape[1]:,} components": in_colour(255 * linear)}
    if facts["method"] == "denoising":
        noisy = runs.corrupted(in_colour(images[rows]).astype(np.float32), facts["corruption"], facts["level"], 0)
        found |= {"corrupted": in_colour(noisy), "denoised": in_colour(trained.decoder(trained.network(noisy)).numpy())}
    title = f"Reconstructions by a {facts['method']} autoencoder with {codes.shape[1]:,} codes"
    lines = ("Below each image: what the autoencoder, and what as many principal components make of it.",)
    pictures.rows_of_pictures(found, path, title=title, lines=lines)


def in_colour(values: np.ndarray) -> np.ndarray:
    """Images (n, S, S, 1 or 3) with values in [0, 255] as (n, S, S, 3) uint8."""
    pixels = np.clip(np.rint(values), 0, 255).astype(np.uint8)
    return np.broadcast_to(pixels, (*pixels.shape[:-1], 3))


def _codes(table: "Table", codes: np.ndarray, rows: np.ndarray, path: Path) -> None:
    """The codes of training rows by principal components, and by t-SNE of fewer of them."""
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE

    rows = rows[np.random.default_rng(0).permutation(len(rows))[:NUM_MAPPED]]
    solved = PCA(2, random_state=0).fit(codes[rows]) if len(rows) > 2 and codes.shape[1] > 1 else None
    if solved is None:
        return
    places, few = solved.transform(codes[rows]), min(len(rows), NUM_NEIGHBOURED)
    shares = 100 * solved.explained_variance_ratio_
    linear, curved = "Principal components", f"t-SNE of {few:,} of them"
    maps, names = {linear: places}, {linear: tuple(f"component {i + 1}: {share:.0f} % of the variance"
                                                   for i, share in enumerate(shares))}
    if few > FEWEST_NEIGHBOURED and shares.sum() > 0:
        flat = PCA(min(50, codes.shape[1], few), random_state=0).fit_transform(codes[rows[:few]])
        maps[curved] = np.full((len(rows), 2), np.nan, np.float32)
        maps[curved][:few] = TSNE(2, init="pca", random_state=0).fit_transform(flat)
        names[curved] = ("first direction, no unit", "second direction, no unit")
    pictures.code_map(maps, names, table.labels[rows], table.class_names, path,
                      title=f"Codes of {len(rows):,} training images")


def curves(history: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The history with a layer more, "1, validation rows", for the loss on these, where there are some."""
    found = []
    for row in history:
        own = str(row.get("layer", 1))
        found.append({**row, "layer": own})
        if "validation_loss" in row:
            found.append({**row, "layer": f"{own}, validation rows", "loss": row["validation_loss"]})
    return found


def dead_codes(codes: np.ndarray, kept: int = 0) -> np.ndarray:
    """Which codes (n, F) are zero on every row, (F,) bool: rectified units never above zero, or never kept.

    Args:
        codes: of the training rows.
        kept: only so many, the largest of each row, count; 0: all.
    """
    if not 0 < kept < codes.shape[1]:
        return ~codes.any(axis=0)
    alive = np.zeros(codes.shape[1], bool)
    for start in range(0, len(codes), ROWS_AT_ONCE):
        part = codes[start:start + ROWS_AT_ONCE]
        largest = np.argpartition(-part, kept - 1, axis=1)[:, :kept]
        alive[largest[np.take_along_axis(part, largest, axis=1) != 0]] = True
    return ~alive


def _activity(codes: np.ndarray, facts: dict[str, Any], path: Path) -> None:
    title = f"How active the codes are over {len(codes):,} training images"
    if facts["method"] == "k-sparse":
        kept = min(1.0, round(facts["kept"] * facts["kept_factor"]) / codes.shape[1])
        pictures.activity((codes != 0).mean(axis=0), path, title=title, target=kept,
                          what="share of the images for which a code is kept")
        return
    target = facts["sparsity_target"] if facts["method"] == "sparse" else None
    pictures.activity(codes.mean(axis=0), path, title=title, target=target, what="mean activation, no unit")


# ---- What units look for ------------------------------------------------------------------------------------------


def first_filters(trained: Trained, encoder: "keras.Model", shape: tuple[int, ...]) -> np.ndarray | None:
    """The weights of the first layer as pictures, (K, h, w, C); None of a backbone that begins without convolution."""
    if trained.stack:
        return trained.stack[0].kernel.T.reshape(-1, *shape)
    filters = explanations.first_layer_filters(encoder)
    return filters if filters.shape[-1] in (1, 3) else None


def _exciting(trained: Trained, images: np.ndarray, codes: np.ndarray, path: Path) -> None:
    """Of training images (n, S, S, C) and their codes (n, F): by the weights of one layer, else climbed for."""
    if len(trained.stack) == 1:
        best = best_inputs(trained.stack[0].kernel)[:NUM_UNITS].reshape(-1, *images.shape[1:])
        lines = [f"Of all images of one norm the one to which each of the first {len(best)} units responds most: its "
                 f"weights."]
    else:
        mean = images.mean(axis=0, dtype=np.float64).astype(np.float32) / 255
        some = images[:NUM_UNITS].astype(np.float32) / 255 - mean
        radius = float(np.sqrt((some**2).sum(axis=(1, 2, 3))).mean())
        first = codes[:, :NUM_CLIMBED if len(mean) <= LARGE else NUM_CLIMBED_LARGE].argmax(axis=0)
        best = climbed(trained.network, mean, radius, images[first].astype(np.float32) / 255 - mean)
        lines = ["What has to be added to the mean image, of the norm of an image at most, so that each of the first",
                 f"{len(best)} codes is largest: {STEPS} gradient steps from the training image that excites it most."]
    dead = dead_codes(codes)[:len(best)]
    if dead.any():
        lines.append(f"{dead.sum()} of them are blank: their codes are zero on every training image.")
    best = np.where(dead[:, None, None, None], np.float32(0), best)
    pictures.unit_tiles(best, path, title="Inputs that excite units most", lines=lines)


def best_inputs(kernel: np.ndarray) -> np.ndarray:
    """For each unit of one layer the input of norm 1 that excites it most: kernel (d, F) -> (F, d).

    Example:
        >>> best_inputs(np.array([[3.0, 0.0], [4.0, 2.0]])).tolist()
        [[0.6, 0.8], [0.0, 1.0]]
    """
    lengths = np.linalg.norm(kernel, axis=0, keepdims=True)
    return (kernel / np.where(lengths > 0, lengths, 1)).T


def climbed(network: "keras.Model", mean: np.ndarray, radius: float, first: np.ndarray) -> np.ndarray:
    """For each of the first codes what, added to the mean image, excites it most.

    Args:
        network: (B, S, S, 3) in [0, 255] to codes (B, F).
        mean: (S, S, C) in [0, 1].
        radius: largest norm of what is added.
        first: (count, S, S, C) what is added first for each of the first codes: a rectified code that it does not
            excite has no slope to climb.

    Returns:
        (count, S, S, C) float32.
    """
    count = len(first)
    added = tf.clip_by_norm(tf.constant(first, tf.float32), radius, axes=[1, 2, 3])

    @tf.function
    def step(added: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            tape.watch(added)
            pixels = tf.broadcast_to(255 * (mean + added), (count, *mean.shape[:2], 3))
            responses = tf.linalg.diag_part(network(pixels, training=False)[:, :count])
        slopes = tape.gradient(responses, added)
        return tf.clip_by_norm(added + STEP * radius * _unit(slopes), radius, axes=[1, 2, 3])

    for _ in range(STEPS):
        added = step(added)
    return added.numpy()


def _unit(values: tf.Tensor) -> tf.Tensor:
    return values / tf.maximum(tf.norm(tf.reshape(values, (len(values), -1)), axis=1)[:, None, None, None], 1e-12)

