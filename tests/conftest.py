"""What every test shares: a cache of this session's own, and property tests that repeat exactly."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# No deadline: the first call of anything that traces a network is slow. Derandomised: red today is red tomorrow.
settings.register_profile("toolkit", deadline=None, derandomize=True)
settings.load_profile("toolkit")


@pytest.fixture(scope="session", autouse=True)
def cache_of_this_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One cache of weights and features for the whole session, away from the user's; $TOOLKIT_CACHE wins."""
    with pytest.MonkeyPatch.context() as patch:
        if "TOOLKIT_CACHE" not in os.environ:
            patch.setenv("TOOLKIT_CACHE", str(tmp_path_factory.mktemp("toolkit-cache")))
        yield


@pytest.fixture(scope="session")
def small_table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CSV of 114 real digits of three classes, 16 x 16 PNG: 48 labelled and 12 unlabelled training rows, 24
    validation and 30 test rows."""
    from PIL import Image
    from sklearn.datasets import load_digits

    folder = tmp_path_factory.mktemp("digits")
    digits, lines = load_digits(), ["path,label,split"]
    splits = ["train"] * 60 + ["validation"] * 24 + ["test"] * 30
    of_three = [i for i in range(len(digits.target)) if digits.target[i] < 3][: len(splits)]
    for number, (index, split) in enumerate(zip(of_three, splits, strict=True)):
        picture = Image.fromarray((digits.images[index] * 15.9).astype("uint8")).resize((16, 16))
        picture.save(folder / f"digit {number:03d}.png")
        label = "" if 48 <= number < 60 else ("zero", "one", "two")[digits.target[index]]
        lines.append(f"digit {number:03d}.png,{label},{split}")
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder / "table.csv"
