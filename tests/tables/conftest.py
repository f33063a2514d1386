"""Small tables of made pictures."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def picture(number: int, side: int = 6) -> Image.Image:
    """A colour picture that no other number has."""
    return Image.fromarray(np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8))


@pytest.fixture
def pictures(tmp_path: Path) -> Callable[..., list[str]]:
    """Function that writes pictures of the given names, all different, and gives the names back."""

    def write(*names: str) -> list[str]:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            picture(sum(os.fsencode(name)) * 1000 + len(name)).save(path, None if path.suffix else "PNG")
        return list(names)

    return write


@pytest.fixture
def write_csv(tmp_path: Path) -> Callable[..., str]:
    """Function from lines (or bytes) to the path of a CSV file."""

    def write(lines: Iterable[str] | bytes, name: str = "photos.csv", encoding: str = "utf-8") -> str:
        content = lines if isinstance(lines, bytes) else "".join(f"{line}\n" for line in lines).encode(encoding)
        path = tmp_path / name
        path.write_bytes(content)
        return str(path)

    return write


@pytest.fixture
def make_table(tmp_path: Path, write_csv: Callable[..., str]) -> Callable[..., str]:
    """Function from rows "label" or "label,split" (one picture each) to the path of a CSV with a path in front."""

    def make(rows: Iterable[str], header: str = "path,label,split") -> str:
        lines = [header]
        for number, row in enumerate(rows):
            picture(number).save(tmp_path / f"{number}.png")
            lines.append(f"{number}.png,{row}")
        return write_csv(lines)

    return make
