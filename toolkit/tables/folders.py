"""Folders of class folders, folders of images, and images named one by one."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from toolkit.tables import paths
from toolkit.tables.entries import SPLIT_WORDS, Entries
from toolkit.tables.errors import TableError, counted, listed

UNLABELLED_FOLDERS = frozenset({"unlabelled", "unlabeled"})
_IGNORED_FOLDERS = frozenset({"__MACOSX", "$RECYCLE.BIN", "System Volume Information"})
_IGNORED_FILES = frozenset({"thumbs.db", "desktop.ini"})


def read(source: str, *, class_names: Sequence[str] | None, require_labels: bool) -> Entries:
    """Lists the images below a folder; looks at none of them. Hidden files and folders do not count.

    The folder holds class folders, or the folders train, validation and test with class folders in each. A folder
    called unlabelled holds images without a label, beside train those to train on. Images in deeper folders belong to
    the class folder above them.

    Args:
        source: path of the folder, as the user named it.
        class_names: those of a trained model; None otherwise.
        require_labels: refuse a folder without class folders.

    Raises:
        TableError: there is no image, there are no class folders where they are needed, or train and test have other
            neighbours.
    """
    top = Path(source).expanduser()
    inside = _folders(source, top)
    splits = {name: SPLIT_WORDS[name.lower()] for name in inside if name.lower() in SPLIT_WORDS}
    pool = [name for name in inside if name.lower() in UNLABELLED_FOLDERS] if splits else []
    others = set(inside) - {*splits, *pool}
    if splits and not others:
        places = [(name, split, top / name) for name, split in splits.items()]
    elif require_labels and {"train", "test"} <= set(splits.values()):
        beside = listed(sorted(others))
        raise TableError(f"{source} holds {listed(sorted(splits))}, as a folder of splits does, and {beside} beside "
                         f"them, as a folder of classes does. Move {beside} elsewhere.")
    else:
        pool = []
        places = [("", None, top)]
    counts: Counter[str] = Counter()
    found: list[tuple[str, str, str | None]] = []  # name relative to the top, class, split
    empty: list[str] = []
    for prefix, split, place in places:
        classes = _folders(source, place)
        if not require_labels and not _are_classes(classes, class_names):
            found += [(f"{prefix}/{name}".lstrip("/"), "", split) for name in _images(place, counts)]
            continue
        counts["loose"] += sum(paths.is_image_name(name) for name in os.listdir(place) if not name.startswith("."))
        for folder in classes:
            images = [os.path.join(prefix, folder, name) for name in _images(place / folder, counts)]
            label = "" if folder.lower() in UNLABELLED_FOLDERS else folder
            found += [(name, label, split) for name in images]
            empty += [] if images else [os.path.join(prefix, folder)]
    for name in pool:
        found += [(os.path.join(name, image), "", "train") for image in _images(top / name, counts)]
    if not found:
        raise _nothing(source, require_labels, counts["loose"])
    return _entries(source, top, sorted(found), _notes(source, counts, empty))


def read_files(files: Iterable[str | os.PathLike[str]]) -> Entries:
    """Rows for images named one by one: test rows without a label.

    Args:
        files: paths; relative ones are relative to the current folder.

    Raises:
        TableError: none was named.
    """
    names = [os.fspath(file) for file in files]
    if not names:
        raise TableError("No image was named. Name at least one image file, a folder or a CSV file.")
    source = names[0] if len(names) == 1 else f"{len(names):,} files"
    inputs = [paths.resolve(name, Path.cwd()) for name in names]
    blank, test = [""] * len(names), ["test"] * len(names)
    return Entries(source, names, inputs, blank, test, label_column=None)


def _entries(source: str, top: Path, found: list[tuple[str, str, str | None]], notes: list[str]) -> Entries:
    names, labels, splits = (list(column) for column in zip(*found))
    inputs = [os.path.abspath(top / name) for name in names]
    labels = [paths.as_text(label) for label in labels]
    return Entries(source, names, inputs, labels, None if splits[0] is None else splits, notes=notes,
                   how_unlabelled="move the image to a folder called unlabelled")


def _folders(source: str, place: Path) -> list[str]:
    """Names of the folders in a place that may hold images, sorted."""
    try:
        with os.scandir(place) as inside:
            return sorted(entry.name for entry in inside
                          if not entry.name.startswith(".") and entry.name not in _IGNORED_FOLDERS and entry.is_dir())
    except OSError as error:
        raise TableError(f"{source}: the folder {place} cannot be listed: {error.strerror}. Check its "
                         "permissions.") from error


def _images(place: Path, counts: Counter[str]) -> Iterator[str]:
    """Names, relative to a place, of all images below it; counts what is left out."""

    def unlisted(error: OSError) -> None:
        counts["unlisted"] += 1

    for folder, inside, files in os.walk(place, onerror=unlisted):
        inside[:] = sorted(name for name in inside if not name.startswith(".") and name not in _IGNORED_FOLDERS)
        for name in files:
            if name.startswith(".") or name.lower() in _IGNORED_FILES:
                continue
            if paths.is_image_name(name):
                yield os.path.relpath(os.path.join(folder, name), place)
            else:
                counts["others"] += 1


def _are_classes(folders: list[str], class_names: Sequence[str] | None) -> bool:
    """Whether folders stand for classes in a table that need not have labels."""
    known = set(folders) - UNLABELLED_FOLDERS
    return bool(known) and (class_names is None or not known.isdisjoint(class_names))


def _nothing(source: str, require_labels: bool, num_loose: int) -> TableError:
    if not require_labels:
        return TableError(f"{source} holds no image. Expected files such as .jpg or .png in it.")
    found = f"only {counted(num_loose, 'image')} outside class folders" if num_loose else "no image in a class folder"
    return TableError(f"{source} holds {found}. Expected one folder for each class, {source}/cat/1.jpg and "
                      f"{source}/dog/2.jpg, perhaps inside train, validation and test; or name a CSV file.")


def _notes(source: str, counts: Counter[str], empty: list[str]) -> list[str]:
    notes = []
    if empty:
        notes.append(f"{counted(len(empty), 'class folder')} of {source} without an image: {listed(empty)}.")
    if counts["loose"]:
        notes.append(f"{counted(counts['loose'], 'image')} in {source} outside the class folders left out.")
    if counts["others"]:
        notes.append(f"{counted(counts['others'], 'file')} in {source} left out: the name does not end like that of an "
                     f"image (.jpg, .png, ...).")
    if counts["unlisted"]:
        notes.append(f"{counted(counts['unlisted'], 'folder')} in {source} could not be listed: check the permissions.")
    return notes
