"""Enough of torchvision for `import timm`: modules of empty classes with strings for constants, none of them used."""

import importlib.machinery
import sys
import types

_MODULES = ("torchvision", "torchvision.datasets", "torchvision.models", "torchvision.models.feature_extraction",
            "torchvision.ops", "torchvision.ops.misc", "torchvision.transforms", "torchvision.transforms.functional")


class _Empty(type):
    def __getattr__(cls, name: str) -> str:
        if name.startswith("__"):
            raise AttributeError(name)
        return name


class _Stub(types.ModuleType):
    __path__: list[str] = []

    def __getattr__(self, name: str) -> type:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Empty(name, (), {})


def install() -> None:
    """Put the modules where `import` finds them."""
    for name in _MODULES:
        sys.modules[name] = _Stub(name)
        sys.modules[name].__spec__ = importlib.machinery.ModuleSpec(name, None, is_package=True)
        parent, _, child = name.rpartition(".")
        if parent:
            setattr(sys.modules[parent], child, sys.modules[name])
