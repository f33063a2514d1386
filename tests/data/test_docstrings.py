"""data/docstrings: a table of real sentences that is always the same."""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from toolkit.tables import read_table

DOCSTRINGS = Path(__file__).resolve().parents[2] / "data" / "docstrings"
FEW = ["--num-train", "30", "--num-labelled", "10", "--num-test", "20"]


@pytest.fixture(scope="module")
def prepare() -> ModuleType:
    """data/docstrings/prepare.py, imported as Python does when it runs it: from its own folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(DOCSTRINGS)
        patch.delitem(sys.modules, "prepare", raising=False)
        module = import_module("prepare")
        patch.delitem(sys.modules, "prepare")
        yield module


@pytest.fixture(scope="module")
def found(prepare: ModuleType) -> dict[str, list[tuple[str, str]]]:
    return prepare.collect()


def test_sentences_are_prose(prepare: ModuleType) -> None:
    text = '''Return the `sum` of *all* elements.

    Along an axis it is faster (see
    :func:`~numpy.add`). It never fails, e.g. on empty rows. Short one.

    Parameters
    ----------
    x : array
        Something with a long description here.

    >>> Something(1) is not a sentence at all.
    '''
    assert list(prepare.sentences(text)) == ["Return the sum of all elements.", "It never fails, e.g. on empty rows."]


def test_enough_sentences_of_each_package(found: dict[str, list[tuple[str, str]]]) -> None:
    assert list(found) == ["numpy", "pandas", "scikit-learn"] and min(map(len, found.values())) > 2000
    every = [sentence for own in found.values() for _, sentence in own]
    assert len(every) == len(set(every)) and all(5 <= len(sentence.split()) <= 60 for sentence in every)
    assert not any(word in sentence.lower().split() for sentence in every for word in ("numpy", "pandas", "sklearn"))


def test_the_table(prepare: ModuleType, found: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                   capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(prepare, "collect", lambda: found)
    prepare.main([*FEW, "--output", str(tmp_path)])
    assert "150 sentences from the docstrings of numpy" in capsys.readouterr().out
    table = read_table(tmp_path / "docstrings.csv")
    assert table.kind == "text" and table.class_names == ("numpy", "pandas", "scikit-learn")
    counts = [len(rows) for rows in (table.labelled("train"), table.unlabelled(), table.labelled("test"))]
    assert counts == [30, 60, 60] and not table.rejected
    written = (tmp_path / "docstrings.csv").stat().st_mtime_ns
    prepare.main([*FEW, "--output", str(tmp_path)])
    assert (tmp_path / "docstrings.csv").stat().st_mtime_ns == written


def test_a_file_is_on_one_side_and_seeds_differ(prepare: ModuleType, found: dict) -> None:
    files = dict((sentence, name) for name, sentence in found["pandas"])
    rows = prepare.select_rows(found["pandas"], 400, 100, 0)
    sides = [{files[sentence] for sentence, split in rows if split == side} for side in ("train", "test")]
    assert len(rows) == 500 and sides[0].isdisjoint(sides[1])
    assert rows == prepare.select_rows(found["pandas"][::-1], 400, 100, 0) != prepare.select_rows(
        found["pandas"], 400, 100, 1)
    with pytest.raises(SystemExit, match="Ask for fewer"):
        prepare.select_rows(found["pandas"], 400, 10**6, 0)


def test_the_readme_says_what_the_options_are(prepare: ModuleType) -> None:
    text = (DOCSTRINGS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{option}" in text for option in ("--num-train", "--num-test", "--num-labelled", "--seed", "--output"))
    assert all(package in text for package in prepare.PACKAGES)
