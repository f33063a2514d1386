"""Sets of TensorFlow Datasets that were prepared on this machine. Nothing is downloaded, no code of a set is run."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from toolkit import atomic_files, cache_folder
from toolkit.tables import image_files
from toolkit.tables.entries import SPLIT_WORDS, Entries
from toolkit.tables.errors import TableError, listed
from toolkit.tables.image_problems import Unusable

if TYPE_CHECKING:
    import tensorflow_datasets as tfds

PREFIX = "tfds:"
_VERSION = re.compile(r"\d+\.\d+\.\d+")
_LARGEST_ARRAY = 1 << 30  # bytes; larger sets are read from files
_UNLABELLED_SPLITS = ("unlabelled", "unlabeled", "unsupervised")


def read(source: str, *, data_dir: Path | None) -> Entries:
    """Reads a prepared set with one image and one class label in each example.

    Sets whose images all have one size become an array; the images of others are written once, as they are stored, to
    ``<cache folder>/tfds``, and read from there.

    Args:
        source: ``tfds:NAME`` or ``tfds:NAME/CONFIG``, perhaps with ``:VERSION`` at its end.
        data_dir: folder of the prepared sets; None for that of TensorFlow Datasets ($TFDS_DATA_DIR or
            ~/tensorflow_datasets).

    Raises:
        TableError: the set is not prepared, or does not hold images and classes.
    """
    import tensorflow_datasets as tfds

    folder = _folder(source, Path(data_dir or tfds.core.constants.DATA_DIR).expanduser())
    try:
        builder = tfds.builder_from_directory(folder)
    except Exception as error:  # whatever a damaged set makes of its reader
        raise TableError(f"{source}: the prepared set in {folder} cannot be read ({type(error).__name__}: {error}). "
                         f"Delete it and prepare it again.") from error
    image_key, label_key = _features(source, builder)
    splits, notes = _splits(source, builder)
    entries = Entries(source, [], [], [], [], notes=notes, how_unlabelled="write -1 for unlabelled")
    array = _empty_array(builder.info.features[image_key].shape, [builder.info.splits[name] for name in splits])
    pictures = cache_folder() / "tfds" / builder.info.name / _state(folder)
    label_of = builder.info.features[label_key]
    for name, split in splits.items():
        for number, (data, label) in enumerate(_examples(builder, name, image_key, label_key)):
            unlabelled = label < 0 or name in _UNLABELLED_SPLITS
            if array is not None:
                array[len(entries)] = _pixels(f"{source}, {name}[{number}]", data, array.shape)
            else:
                entries.inputs.append(_written(pictures / name / f"{number:08d}", data))
            entries.names.append(f"{name}[{number}]")
            entries.labels.append("" if unlabelled else label_of.int2str(label))
            entries.splits.append(split)
    if not entries.names:
        raise TableError(f"{source} holds no example.")
    if array is not None:
        entries.array, entries.inputs = array, np.arange(len(entries))
    entries.rows = list(range(1, len(entries) + 1))
    return entries


# ---- Finding the set -------------------------------------------------------------------------------------------------


def _folder(source: str, data_dir: Path) -> Path:
    """The folder of a set's newest version, or of the one asked for."""
    name, _, wanted = source.removeprefix(PREFIX).strip("/").partition(":")
    if not re.fullmatch(r"\w+(/[\w.+-]+)?", name):
        raise TableError(f"{source} is not the name of a set. Write tfds:NAME or tfds:NAME/CONFIG.")
    if not (data_dir / name).is_dir():
        raise _not_prepared(source, name, data_dir)
    folder = data_dir / name
    versions = _versions(folder)
    configs = sorted(inner.name for inner in folder.iterdir() if not versions and inner.is_dir() and _versions(inner))
    if len(configs) > 1:
        raise TableError(f"{source} has the configurations {listed(configs)}. Choose one: {PREFIX}{name}/{configs[0]}.")
    if configs:
        folder, versions = folder / configs[0], _versions(folder / configs[0])
    if not versions:
        raise _not_prepared(source, name, data_dir)
    if wanted and wanted not in versions:
        raise TableError(f"{source}: version {wanted} is not in {folder}, which has {listed(versions)}.")
    return folder / (wanted or versions[-1])


def _versions(folder: Path) -> list[str]:
    """Prepared versions in a folder, oldest first."""
    found = [inner.name for inner in folder.iterdir()
             if _VERSION.fullmatch(inner.name) and any(inner.glob("*info.json"))]
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))))


def _not_prepared(source: str, name: str, data_dir: Path) -> TableError:
    return TableError(
        f"{source} is not prepared in {data_dir}, and nothing is downloaded unless asked. Prepare it once: python -c "
        f"\"import tensorflow_datasets as tfds; tfds.load('{name}', data_dir='{data_dir}')\", or name the folder of "
        "the prepared sets with --root.")


def _state(folder: Path) -> str:
    """A name that changes when the set is prepared anew."""
    files = sorted(path for path in folder.iterdir() if path.is_file())
    facts = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    return hashlib.sha256(json.dumps([str(folder), facts]).encode()).hexdigest()[:16]


# ---- Its content -----------------------------------------------------------------------------------------------------


def _features(source: str, builder: "tfds.core.DatasetBuilder") -> tuple[str, str]:
    """Names of the image and of the class label in an example."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    items = dict(features.items()) if isinstance(features, tfds.features.FeaturesDict) else {}
    images = [name for name, feature in items.items() if type(feature) is tfds.features.Image]
    labels = [name for name, feature in items.items() if isinstance(feature, tfds.features.ClassLabel)]
    usual = builder.info.supervised_keys or ()
    image, label = ([name for name in names if name in usual] or names for names in (images, labels))
    if len(image) != 1 or len(label) != 1:
        found = [f"{name} ({type(feature).__name__})" for name, feature in sorted(items.items())]
        raise TableError(f"{source} has the features {listed(found)}. Expected one Image and one ClassLabel.")
    return image[0], label[0]


def _splits(source: str, builder: "tfds.core.DatasetBuilder") -> tuple[dict[str, str], list[str]]:
    """Names of the set's splits -> those of a Table, training first; and a note on those left out."""
    names = {name: SPLIT_WORDS.get(name.lower(), "train" if name.lower() in _UNLABELLED_SPLITS else None)
             for name in builder.info.splits}
    order = ("train", "validation", "test")
    used = {name: split for split in order for name, other in names.items() if other == split}
    used = dict(sorted(used.items(), key=lambda item: (order.index(item[1]), item[0] in _UNLABELLED_SPLITS)))
    if not used:
        raise TableError(f"{source} has the splits {listed(names)}. Expected train, validation or test.")
    left_out = [name for name in names if name not in used]
    return used, [f"{source}: left out the splits {listed(left_out)}, which are neither train, validation nor test."
                  ] if left_out else []


def _examples(builder: "tfds.core.DatasetBuilder", split: str, image: str, label: str) -> Iterator[tuple[bytes, int]]:
    """Image as it is stored, and label, of every example, always in one order."""
    import tensorflow_datasets as tfds

    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    decoders = tfds.decode.PartialDecoding({image: True, label: True}, decoders={image: tfds.decode.SkipDecoding()})
    dataset = builder.as_dataset(split=split, shuffle_files=False, read_config=config, decoders=decoders)
    for example in tfds.as_numpy(dataset):
        yield bytes(example[image]), int(example[label])


def _empty_array(shape: tuple[int | None, ...], splits: list[Any]) -> np.ndarray | None:
    """Room for all images if they have one size and one or three channels, else None."""
    if None in shape or len(shape) != 3 or shape[-1] not in (1, 3):
        return None
    shape = (sum(split.num_examples for split in splits), *(shape if shape[-1] == 3 else shape[:2]))
    return np.empty(shape, np.uint8) if np.prod(shape, dtype=object) <= _LARGEST_ARRAY else None


def _pixels(where: str, data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    try:
        pixels = image_files.pixels_of(data)
    except Unusable as unusable:
        raise TableError(f"{where}: {unusable.message}. Prepare the set again.") from unusable
    return pixels if len(shape) == 4 else pixels[..., 0]


def _written(path: Path, data: bytes) -> str:
    """Writes an image unless it is there already; atomic, so that two programs may do it at once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files.in_place_of(path) as temporary:
            temporary.write_bytes(data)
    return str(path)
