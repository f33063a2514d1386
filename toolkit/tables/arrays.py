"""Images or series in the arrays of an ``.npz`` file, in the layout of Keras' own sets or of MedMNIST."""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import closing

import numpy as np

from toolkit.tables import series
from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, listed

_PARTS = (("train", ("x_train", "train_images"), ("y_train", "train_labels")),
          ("validation", ("x_val", "x_valid", "x_validation", "val_images"),
           ("y_val", "y_valid", "y_validation", "val_labels")),
          ("test", ("x_test", "test_images"), ("y_test", "test_labels")),
          ("train", ("x_unlabelled", "x_unlabeled"), ("y_unlabelled", "y_unlabeled")),
          (None, ("x", "images"), ("y", "labels")))
"""Split, names of its images and names of its labels; with the last, the split is chosen."""
_ROWS_AT_ONCE = 1024
_LAYOUT = "x_train (n, height, width) or (n, height, width, 3) and y_train (n,), and the same for test"
_LAYOUT_OF_SERIES = "x_train (n, time) or (n, time, channels) and y_train (n,), and the same for test"


def read(source: str, *, kind: str | None = None) -> Entries:
    """Reads the images or series and the labels of an ``.npz`` file; nothing in it is executed.

    Args:
        source: path of the file. Images are integers 0 to 255, or fractions of 255 in [0, 1]; series are real numbers,
            NaN for missing; labels are whole numbers (-1: unlabelled) or text ("": unlabelled). A set without labels
            is unlabelled.
        kind: "image" or "series"; None: fractions in two dimensions are series.

    Raises:
        TableError: the file is damaged, or its arrays are not inputs and labels.
    """
    try:
        with open(source, "rb") as stream:  # np.load would leave a damaged file open
            loaded = np.load(stream, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                raise ValueError("it holds a single array without a name")
            with closing(loaded) as file:
                return _entries(source, file, kind)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError, RuntimeError, KeyError) as error:
        if isinstance(error, TableError):
            raise
        raise TableError(f"{source} cannot be read as .npz ({_brief(error)}). Is it cut off? Write it again with "
                         f"np.savez({os.path.basename(source)!r}, x_train=..., y_train=..., x_test=..., "
                         "y_test=...).") from error


def _entries(source: str, file: "np.lib.npyio.NpzFile", kind: str | None) -> Entries:
    present = [(split, _one_of(source, images, file.files), _one_of(source, labels, file.files))
               for split, images, labels in _PARTS]
    alone = [labels for _, images, labels in present if images is None and labels is not None]
    present = [part for part in present if part[1] is not None]
    if not present or (len(present) > 1 and any(split is None for split, *_ in present)):
        raise TableError(f"{source} holds the arrays {listed(file.files) or '(none)'}. Expected {_LAYOUT}.")
    if alone:
        raise TableError(f"{source} holds labels without images: {listed(alone)}. Its arrays are {listed(file.files)}. "
                         f"Expected {_LAYOUT}.")
    inputs = [name for _, name, _ in present]
    headers = [_header(file, name) for name in inputs]
    counts = _lengths(source, headers)
    if kind != "series":
        rows_of_fractions = all(len(shape) == 2 and dtype.kind == "f" for shape, dtype in headers)
        kind = "series" if kind is None and rows_of_fractions else "image"
    names, labels, splits = [], [], []
    for (split, inputs_name, labels_name), count in zip(present, counts):
        names += [f"{inputs_name}[{i}]" for i in range(count)]
        labels += _labels(source, file, labels_name, inputs_name, count)
        splits += [split] * count
    if not names:
        raise TableError(f"{source} holds no {kind}: {', '.join(inputs)} have no rows.")
    problems: dict[int, tuple[str, str]] = {}
    array = _series(source, file, inputs, problems) if kind == "series" else _all_images(source, file, inputs, counts)
    unused = sorted(set(file.files) - {name for _, *two in present for name in two})
    return Entries(source, names, np.arange(len(names)), labels, None if None in splits else splits, array=array,
                   how_unlabelled="write -1 for unlabelled", kind=kind, problems=problems,
                   notes=[f"{source}: the arrays {listed(unused)} are not used."] if unused else [])


def _one_of(source: str, names: Sequence[str], files: list[str]) -> str | None:
    found = [name for name in names if name in files]
    if len(found) > 1:
        raise TableError(f"{source} holds both {found[0]} and {found[1]}. Keep one of them.")
    return found[0] if found else None


def _header(file: "np.lib.npyio.NpzFile", name: str) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array that is not read."""
    with file.zip.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = header(member)
    return shape, dtype


def _lengths(source: str, headers: list[tuple[tuple[int, ...], np.dtype]]) -> list[int]:
    """Number of inputs in each array; refuses what cannot fit in memory."""
    lengths, num_bytes = [], 0
    for shape, dtype in headers:
        lengths.append(shape[0] if shape else 0)
        num_bytes += int(np.prod(shape, dtype=object)) * (1 + dtype.itemsize)
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if num_bytes > available // 2:
        raise TableError(f"{source} needs {num_bytes / 2**30:,.0f} GiB of memory, and this machine has "
                         f"{available / 2**30:,.0f} GiB. Write the images as files and list them in a CSV.")
    return lengths


def _member(source: str, file: "np.lib.npyio.NpzFile", name: str) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:
        if "pickle" not in str(error).lower():
            raise
        raise TableError(f"{source}: {name} holds Python objects, which are not read since that could run code. Save "
                         f"numbers or text, for example {name}.astype(str).") from error


# ---- Series ----------------------------------------------------------------------------------------------------------


def _series(source: str, file: "np.lib.npyio.NpzFile", names: list[str], problems: dict[int, tuple[str, str]]
            ) -> np.ndarray:
    """Series of all arrays, (N,) object of (T, C) float32; fills in why a row holds none."""
    found: list[np.ndarray] = []
    for name in names:
        values = _member(source, file, name)
        if values.ndim not in (2, 3) or not all(values.shape[1:]) or values.dtype.kind not in "biuf":
            raise TableError(f"{source}: {name} holds {values.dtype} of shape {values.shape}. Expected numbers, "
                             f"{_LAYOUT_OF_SERIES}.")
        for one in values:
            try:
                found.append(series.tidied(one))
            except series.NoSeries as error:
                problems[len(found)] = error.reason, error.message
                found.append(np.zeros((0, 1), np.float32))
    return series.collected(found)


# ---- Images ----------------------------------------------------------------------------------------------------------


def _all_images(source: str, file: "np.lib.npyio.NpzFile", names: list[str], counts: list[int]) -> np.ndarray:
    """The images of all arrays in one."""
    array, start = None, 0
    for name, count in zip(names, counts):
        images = _images(source, name, _member(source, file, name))
        array = np.empty((sum(counts), *images.shape[1:]), np.uint8) if array is None else array
        if images.shape[1:] != array.shape[1:]:
            raise TableError(f"{source}: {name} holds images of shape {images.shape[1:]}, but {names[0]} of "
                             f"{array.shape[1:]}. Give all images one size and number of channels.")
        array[start : start + count] = images
        start += count
    return array


def _images(source: str, name: str, images: np.ndarray) -> np.ndarray:
    """Images as (n, H, W) or (n, H, W, 3) uint8."""
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3)) or not all(images.shape[1:]):
        raise TableError(f"{source}: {name} has shape {images.shape}. Expected (n, height, width) or "
                         f"(n, height, width, 3).{_remedy(name, images.shape)}")
    if images.dtype == np.uint8:
        return images
    if images.dtype.kind not in "biuf":
        raise TableError(f"{source}: {name} holds {images.dtype}. Expected numbers from 0 to 255 (uint8).")
    scale = _scale(images)
    pixels = np.empty(images.shape, np.uint8)
    for start in range(0, len(images), _ROWS_AT_ONCE):
        some = images[start : start + _ROWS_AT_ONCE]
        with np.errstate(invalid="ignore"):
            whole = np.rint(some * scale) if images.dtype.kind == "f" else some * scale
            fits = (np.abs(some * scale - whole) <= 1e-3) & (whole >= 0) & (whole <= 255)
        if not fits.all():
            first = int(np.argmin(fits.reshape(len(some), -1).all(axis=1)))
            raise TableError(
                f"{source}, {name}[{start + first}]: the pixels (from {some[first].min():g} to {some[first].max():g}) "
                "are neither whole numbers from 0 to 255 nor such numbers divided by 255. Save the images as uint8 "
                "before any normalisation; if they are series, say --kind series.")
        pixels[start : start + _ROWS_AT_ONCE] = whole
    return pixels


def _scale(images: np.ndarray) -> np.generic:
    """What whole numbers from 0 to 255 were divided by: 255 if nothing exceeds 1 in booleans or fractions, else 1."""
    if images.dtype.kind == "b":
        return np.int64(255)
    if images.dtype.kind == "f":
        return np.float32(255 if images.size and images.max() <= 1 else 1)
    return np.int64(1)


def _remedy(name: str, shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[1] in (1, 3):
        return f" Put the channels last: np.moveaxis({name}, 1, -1)."
    if len(shape) == 2 and shape[1] and round(shape[1] ** 0.5) ** 2 == shape[1]:
        side = round(shape[1] ** 0.5)
        return f" Is each image a row? Reshape it: {name}.reshape(-1, {side}, {side})."
    return ""


def checksums(array: np.ndarray, positions: np.ndarray) -> list[str]:
    """SHA-256 of the shape and pixels of each image."""
    shape = repr(array.shape[1:]).encode()
    return [hashlib.sha256(shape + array[position].tobytes()).hexdigest() for position in positions.tolist()]


def num_channels(array: np.ndarray) -> int:
    """1 if every pixel of (N, H, W) or (N, H, W, 3) images is grey, else 3."""
    if array.ndim == 3:
        return 1
    some = (array[start : start + _ROWS_AT_ONCE] for start in range(0, len(array), _ROWS_AT_ONCE))
    return 1 if all((images == images[..., :1]).all() for images in some) else 3


# ---- Labels ----------------------------------------------------------------------------------------------------------


def _labels(source: str, file: "np.lib.npyio.NpzFile", name: str | None, images_name: str, count: int) -> list[str]:
    if name is None:
        return [""] * count
    labels = _member(source, file, name)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1:
        remedy = f" Use np.argmax({name}, axis=1) for one-hot rows." if labels.ndim == 2 else ""
        raise TableError(f"{source}: {name} has shape {labels.shape}. Expected one label for each of the {count:,} "
                         f"inputs, ({count},).{remedy}")
    if len(labels) != count:
        raise TableError(f"{source}: {name} has {len(labels):,} labels, but {images_name} has {count:,} images.")
    if labels.dtype.kind == "b":
        labels = labels.astype(int)
    if labels.dtype.kind not in "iufSU":
        raise TableError(f"{source}: {name} holds {labels.dtype}. Expected whole numbers or text.")
    return list(_texts(labels))


def _texts(labels: np.ndarray) -> Iterator[str]:
    for label in labels.tolist():
        if isinstance(label, bytes):
            label = label.decode("utf-8", "replace")
        if isinstance(label, str):
            yield label.strip()
        else:
            blank = label == -1 or label != label
            yield "" if blank else str(int(label) if float(label).is_integer() else label)


def _brief(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
