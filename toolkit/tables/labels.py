"""Label cells: what they must not be, and the one map from their text to class numbers."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

from toolkit.tables.entries import Entries
from toolkit.tables.errors import TableError, counted, listed, suggestion

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")
_INTEGRAL = re.compile(r"([+-]?\d+)\.0+")
_BLANK_WORDS = frozenset({"nan", "na", "n/a", "none", "null", "-1", "?", "unlabelled", "unlabeled"})
_SEPARATORS = (";", "|", ",")
_REAL_VALUES = 20  # distinct fractional numbers that may still be classes
_FEWEST_FOR_OWN_CLASSES = 8


def tidied(labels: Sequence[str], class_names: Sequence[str] | None = None) -> list[str]:
    """Labels in one Unicode form; a column of nothing but 0.0, 1.0, 2.0 becomes 0, 1, 2, unless 1.0 is a class.

    Args:
        labels: n.
        class_names: those of a trained model; None otherwise.
    """
    forms = {label: unicodedata.normalize("NFC", label) for label in set(labels)}
    integral = {label: _INTEGRAL.fullmatch(form) for label, form in forms.items() if form}
    if integral and all(integral.values()) and not set(forms.values()) & set(class_names or ()):
        forms.update({label: match[1] for label, match in integral.items()})
    return [forms[label] for label in labels]


def in_order(names: set[str]) -> tuple[str, ...]:
    """Class names sorted: as numbers if all are numbers, else as text."""
    if all(map(_NUMBER.fullmatch, names)):
        return tuple(sorted(names, key=lambda name: (float(name), name)))
    return tuple(sorted(names))


# ---- Refusals --------------------------------------------------------------------------------------------------------


def refuse_unusable(entries: Entries) -> None:
    """Raises ``TableError`` if the labels are not the names of classes, or do not suffice to train on.

    Only the cells are looked at, not the inputs. A source that does not name splits can put any row in training.
    """
    labelled = [i for i, label in enumerate(entries.labels) if label]
    training = Counter(entries.labels[i] for i in labelled if entries.in_training(i))
    _refuse_no_training(entries, training)
    counts = Counter(entries.labels[i] for i in labelled)
    _refuse_several_in_a_cell(entries, counts)
    _refuse_numbers(entries, counts)
    _refuse_own_classes(entries, counts)
    if len(training) == 1:
        raise TableError(f"{entries.source}: all {counted(training.total(), 'labelled training row')} have the label "
                         f"'{next(iter(training))}', and a classifier needs at least two classes. Add another class.")
    refuse_unknown(entries, in_order(set(training)), "training labels")


def refuse_unknown(entries: Entries, class_names: Sequence[str], what: str) -> None:
    """Raises ``TableError`` for the first label that is not a class.

    Args:
        entries: the rows.
        class_names: the labels that may occur.
        what: these names are, for the message.
    """
    known = {"", *class_names}
    unknown = [i for i, label in enumerate(entries.labels) if label not in known]
    if not unknown:
        return
    first = unknown[0]
    label = entries.labels[first]
    more = f" ({counted(len(unknown), 'such row')} in all.)" if len(unknown) > 1 else ""
    meant = "" if _NUMBER.fullmatch(label) else suggestion(label, class_names)
    raise TableError(f"{entries.where(first, entries.label_column)}: label '{label}' is not among the {what} "
                     f"({listed(class_names)}). Correct it, or {entries.how_unlabelled}.{meant}{more}")


def without_unknown(entries: Entries, class_names: Sequence[str]) -> list[str]:
    """Blanks the labels that are no class; a note where there are any.

    Args:
        entries: the rows.
        class_names: the labels that may stay.
    """
    known = {"", *class_names}
    unknown = Counter(label for label in entries.labels if label not in known)
    if not unknown:
        return []
    entries.labels = [label if label in known else "" for label in entries.labels]
    return [f"{counted(unknown.total(), 'label')} ({listed(in_order(set(unknown)), 5)}) are none of the classes "
            f"({listed(class_names, 5)}) and are left blank."]


def _refuse_no_training(entries: Entries, training: Counter[str]) -> None:
    if training:
        return
    if entries.splits is not None and "train" not in entries.splits:
        found = ", ".join(f"{count:,} {split}" for split, count in Counter(entries.splits).items())
        raise TableError(f"{entries.source} has no training rows ({found}). Mark the rows to learn from with 'train', "
                         "or leave out the split for an automatic one.")
    column = f" in column '{entries.label_column}'" if entries.by_row and entries.label_column else ""
    raise TableError(f"{entries.source} has no labelled training row: all {counted(len(entries), 'label')}{column} "
                     f"{'of training rows ' if entries.splits else ''}are blank. Label some rows of each class.")


def _refuse_several_in_a_cell(entries: Entries, counts: Counter[str]) -> None:
    """Several labels are meant if each part of a label is also (part of) another label."""
    for separator in _SEPARATORS:
        parts = {label: _parts(label, separator) for label in counts}
        occurs = Counter(part for some in parts.values() for part in some)
        joined = {label for label, some in parts.items()
                  if len(some) > 1 and (all(occurs[part] > 1 for part in some) or _is_list(label))}
        if joined:
            first = next(i for i, label in enumerate(entries.labels) if label in joined)
            rows = sum(counts[label] for label in joined)
            raise TableError(
                f"{entries.where(first, entries.label_column)}: label '{entries.labels[first]}' is several labels in "
                f"one cell ({counted(rows, 'such row')}), and each {entries.noun} has one class here. Keep one label, "
                f"or, if the combination is a class of its own, join it without '{separator}'.")


def _parts(label: str, separator: str) -> set[str]:
    inner = label.strip("[](){} ")
    return {part.strip(" '\"") for part in inner.split(separator)} - {""}


def _is_list(label: str) -> bool:
    return (label[0], label[-1]) in {("[", "]"), ("{", "}"), ("(", ")")}


def _refuse_numbers(entries: Entries, counts: Counter[str]) -> None:
    """Fractional numbers, many of them or hardly one twice, are measurements."""
    if not all(map(_NUMBER.fullmatch, counts)) or all(float(label).is_integer() for label in counts):
        return
    if len(counts) > _REAL_VALUES or (len(counts) > 3 and 2 * len(counts) > counts.total()):
        values = sorted(map(float, counts))
        raise TableError(f"{entries.source}: the labels are {len(counts):,} different numbers from {values[0]:g} to "
                         f"{values[-1]:g} (first: '{next(iter(counts))}'), which is regression; this is a classifier. "
                         f"Group them into a few named classes, or choose another column with --label-column.")


def _refuse_own_classes(entries: Entries, counts: Counter[str]) -> None:
    """A name for (nearly) every row tells rows apart, not classes; a few labels among many blanks may be one-shot."""
    labelled = counts.total()
    if labelled >= _FEWEST_FOR_OWN_CLASSES and 10 * len(counts) > 9 * labelled and 2 * labelled > len(entries):
        raise TableError(f"{entries.source}: {counted(labelled, 'labelled row')} have {len(counts):,} different labels "
                         f"({listed(counts, 3)}): nearly every row would be a class of its own. Is this a column of "
                         f"names or numbers of the {entries.nouns}? Choose another with --label-column.")


# ---- Notes -----------------------------------------------------------------------------------------------------------


def notes(entries: Entries) -> list[str]:
    """Sentences on labels that are valid, but perhaps not meant."""
    first: dict[str, int] = {}
    for i, label in enumerate(entries.labels):
        first.setdefault(label, i)
    counts = Counter(label for label in entries.labels if label)
    sentences = [
        f"'{label}' is taken as a class ({counted(counts[label], 'row')}, first: {entries.short(first[label])}); if it "
        f"means unlabelled, {entries.how_unlabelled.replace('for unlabelled', 'instead')}."
        for label in counts if label.lower() in _BLANK_WORDS]
    for alike in _alike(counts):
        sentences.append(f"The labels {' and '.join(repr(label) for label in alike)} differ only in how they are "
                         f"written and are taken as different classes (first: {entries.short(first[alike[0]])} and "
                         f"{entries.short(first[alike[1]])}).")
    return sentences


def _alike(labels: Counter[str]) -> list[list[str]]:
    """Labels equal but for capitals, spaces and the way a number is written."""
    groups: dict[object, list[str]] = defaultdict(list)
    for label in labels:
        number = _NUMBER.fullmatch(label)
        groups[float(label) if number else " ".join(label.casefold().split())].append(label)
    return [same for same in groups.values() if len(same) > 1]


def tiny_classes(names: Sequence[str]) -> list[str]:
    """A note on classes with one training row.

    Args:
        names: labels of the labelled training rows.
    """
    single = {name for name, count in Counter(names).items() if count == 1}
    if not single:
        return []
    return [f"{counted(len(single), 'class has', 'classes have')} a single labelled training row: "
            f"{listed(in_order(single))}. Little can be learnt from it."]


# ---- The class map ---------------------------------------------------------------------------------------------------


def class_map(entries: Entries, kept: Sequence[int], class_names: Sequence[str] | None, require_labels: bool
              ) -> tuple[tuple[str, ...], list[str]]:
    """The names of the classes, in the order of their numbers.

    Args:
        entries: all rows; their labels have passed the refusals above.
        kept: indices of the usable ones.
        class_names: those of a trained model, or None.
        require_labels: the classes are those of the usable training rows, at least two; else of all usable rows.

    Returns:
        The names, and notes on classes that lost all their rows.

    Raises:
        TableError: with what could be used, too few classes are left, or a class has only validation or test rows.
    """
    if class_names is not None:
        return tuple(class_names), []
    usable = [i for i in kept if entries.labels[i]]
    if not require_labels:
        return in_order({entries.labels[i] for i in usable}), []
    before = Counter(label for i, label in enumerate(entries.labels) if label and entries.in_training(i))
    names = {entries.labels[i] for i in usable if entries.in_training(i)}
    lost = in_order(set(before) - names)
    if len(names) < 2:
        raise TableError(f"{entries.source}: all labelled training rows of {listed(lost)} were set aside, since their "
                         f"{entries.nouns} cannot be used, and {f'only {names.pop()} is' if names else 'no class is'} "
                         f"left. A classifier needs two: mend the {entries.nouns} (--on-bad-image fail names the "
                         "first).")
    orphan = min((i for i in usable if entries.labels[i] not in names), default=None)
    if orphan is not None:
        label = entries.labels[orphan]
        count = counted(before[label], entries.noun, entries.nouns)
        raise TableError(f"{entries.where(orphan, entries.label_column)}: label '{label}' has no training row left, "
                         f"since {count} of it cannot be used. Mend one, or leave out the class.")
    note = (f"{counted(len(lost), 'class has', 'classes have')} lost all labelled training rows, since no "
            f"{entries.noun} of theirs can be used, and will never be predicted: {listed(lost)}.")
    return in_order(names), [note] if lost else []
