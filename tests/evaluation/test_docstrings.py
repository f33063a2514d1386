"""The examples in the docstrings run."""

import doctest
import importlib
import pkgutil

import pytest

from toolkit import evaluation

MODULES = sorted(module.name for module in pkgutil.walk_packages(evaluation.__path__, "toolkit.evaluation."))


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
