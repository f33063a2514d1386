"""The autoencoder in the folder of a run, and images as it sees them."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from toolkit import ToolkitError, atomic_files, inputs
from toolkit.autoencoders import batches, corruptions
from toolkit.models import backbones, saved_networks
from toolkit.tables import Table
from toolkit.training.progress import Progress

ROWS_AT_ONCE = 512


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """A trained autoencoder.

    Attributes:
        network: (B, S, S, 3) float32 in [0, 255] to codes (B, F).
        decoder: codes to (B, S, S, 3) float32 in [0, 255].
        preprocessing: of its images.
    """

    network: keras.Model
    decoder: keras.Model
    preprocessing: backbones.Preprocessing

    def reconstructed(self, crops: np.ndarray) -> np.ndarray:
        """Crops (B, S, S, 3) float32 in [0, 255] -> what it makes of them, clipped to that range."""
        return np.clip(self.decoder(self.network(crops, training=False), training=False).numpy(), 0, 255)


def load(run: str | Path) -> Autoencoder:
    """The autoencoder of a run.

    Args:
        run: its folder, or its model.keras.

    Raises:
        ToolkitError: there is none.
    """
    path = Path(run) / "model.keras" if Path(run).is_dir() else Path(run)
    try:
        model = keras.saving.load_model(path, compile=False)
        layers = {layer.name: layer for layer in model.layers}
        return Autoencoder(layers["network"], layers["decoder"], backbones.preprocessing(model))
    except KeyError as error:
        raise ToolkitError(f"{run} is a run without a decoder, so it reconstructs nothing: name one by toolkit "
                           f"pretrain-autoencoder.") from error
    except (OSError, ValueError, TypeError, ImportError) as error:
        raise ToolkitError(f"{path}: not a model that Keras can read ({saved_networks.first_line(error)}). Name the "
                           f"folder of a finished run.") from error


def splits(run: str | Path, table: Table) -> np.ndarray:
    """The splits (n,) of the rows of a table, those of the run where it was trained on that very table.

    A table without splits is split by the run; read for anything else, all its rows are test rows.

    Args:
        run: its folder, or its model.keras.
        table: of n rows.
    """
    folder = Path(run) if Path(run).is_dir() else Path(run).parent
    try:
        params = json.loads((folder / "params.json").read_text(encoding="utf-8"))
        name = next(name for name in ("splits.csv", "reconstructions.csv") if (folder / name).is_file())
        with open(folder / name, newline="", encoding="utf-8", errors="surrogateescape") as file:
            found = {int(line["row"]): line["split"] for line in csv.DictReader(file)}
        if params["table"]["source"] != table.arguments["source"]:
            return table.splits
    except (OSError, ValueError, KeyError, TypeError, StopIteration):
        return table.splits
    return np.array([found.get(int(row), split) for row, split in zip(table.rows, table.splits, strict=True)], object)


def crops(table: Table, preprocessing: backbones.Preprocessing, *, title: str = "reading images") -> np.ndarray:
    """All images of a table as the network sees them, (n, S, S, 3) float32 in [0, 255].

    Raises:
        ToolkitError: if an image can no longer be read, or they do not fit into 4 GiB.
    """
    size, found, done = preprocessing.image_size, [], 0
    batches.check_memory(len(table), size, 3 * 4, "name fewer of them at a time")
    stream = inputs.evaluation_batches(table, np.arange(len(table)), preprocessing=preprocessing, batch_size=64)

    def read() -> None:
        nonlocal done
        with Progress(title, len(table)) as progress:
            for batch in stream:
                found.append(batch.numpy())
                done += len(batch)
                progress(done)

    inputs.explained(table, read)
    return np.concatenate(found) if found else np.zeros((0, size, size, 3), np.float32)


def in_parts(compute: Callable[[np.ndarray], np.ndarray], images: np.ndarray) -> np.ndarray:
    """``compute`` of images (n, ...), some hundreds at a time."""
    parts = [compute(images[start:start + ROWS_AT_ONCE]) for start in range(0, len(images), ROWS_AT_ONCE)]
    return np.concatenate(parts) if parts else images


def corrupted(crops: np.ndarray, corruption: str, level: float, seed: int) -> np.ndarray:
    """Crops (n, S, S, 3) in [0, 255] with noise drawn by the seed, the same in all channels of a grey image, clipped.

    Args:
        crops: float32.
        corruption: one of ``corruptions.CORRUPTIONS``.
        level: share of the values, or standard deviation, in [0, 1].
        seed: any integer.
    """
    grey = not len(crops) or bool((crops == crops[..., :1]).all())
    values = tf.constant(crops[..., :1] if grey else crops) / 255
    noisy = corruptions.CORRUPTIONS[corruption](values, level, tf.constant([seed, 0], tf.int64)).numpy()
    return np.broadcast_to(np.clip(255 * noisy, 0, 255), crops.shape)


def write_pictures(folder: Path, table: Table, pictures: np.ndarray) -> None:
    """Writes (n, S, S, 3) in [0, 255] as PNG files called as the inputs, with their rows where two are called alike.

    Raises:
        ToolkitError: if the disk refuses.
    """
    stems = [Path(str(name)).stem for name in table.names]
    alike = len(set(stems)) < len(stems)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for row, stem, picture in zip(table.rows, stems, pictures, strict=True):
            path = folder / (f"{row}-{stem}.png" if alike else f"{stem}.png")
            with atomic_files.in_place_of(path) as temporary:
                Image.fromarray(np.rint(picture).astype(np.uint8)).save(temporary)
    except OSError as error:
        raise ToolkitError(f"{folder} cannot be written: {error.strerror or error}. Choose another --output."
                           ) from error
