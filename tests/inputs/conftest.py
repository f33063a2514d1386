"""Small tables of made images."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from toolkit.tables import Table


@pytest.fixture
def make_table() -> Callable[..., Table]:
    """Table of files (with the decoder of each) or of an array, all in one split, labels 0, 1, 2, 0, 1, 2, ..."""

    def make(paths: list[Path] = (), decoders: list[int] = (), *, array: np.ndarray | None = None,
             kind: str = "image") -> Table:
        count = len(paths) if array is None else len(array)
        inputs = np.array([str(path) for path in paths], object) if array is None else np.arange(count)
        checksums = [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths] or [""] * count
        names = [path.name for path in paths] or [f"x_train[{i}]" for i in range(count)]
        return Table(kind=kind, inputs=inputs, names=np.array(names, object), labels=np.arange(count) % 3,
                     splits=np.full(count, "train", object), groups=None, rows=np.arange(1, count + 1),
                     class_names=("a", "b", "c"), checksums=np.array(checksums, object),
                     decoders=np.array(decoders or [0] * count, np.uint8), sizes=np.full((count, 2), 20, np.int32),
                     channels=3, array=array, rejected=(), notes=(), source="photos.csv")

    return make


@pytest.fixture
def photographs(tmp_path: Path, make_table: Callable[..., Table]) -> Table:
    """Six files: JPEG, grey JPEG, PNG, grey PNG and two that only Pillow reads (RGBA PNG, WebP)."""
    kinds = [("RGB", "jpg", 0), ("L", "jpg", 0), ("RGB", "png", 1), ("L", "png", 1), ("RGBA", "png", 2),
             ("RGB", "webp", 2)]
    generator, paths = np.random.default_rng(0), []
    for i, (mode, suffix, _) in enumerate(kinds):
        coarse = Image.fromarray(generator.integers(0, 256, (5, 6, 4), np.uint8), "RGBA")
        paths.append(tmp_path / f"{i}.{suffix}")
        coarse.resize((30 + i, 22 + 3 * i), Image.Resampling.BICUBIC).convert(mode).save(paths[-1])
    return make_table(paths, [decoder for *_, decoder in kinds])


@pytest.fixture
def operations_in() -> Callable[..., tuple[set[str], set[str]]]:
    """Function of (function, its argument types) to the types of the operations in its graph and of the stateful ones.

    A branch or a called function with a stateful operation makes the operation that calls it stateful.
    """

    def types(function: Callable, *signature: tf.TensorSpec) -> tuple[set[str], set[str]]:
        plain = tf.autograph.experimental.do_not_convert(function)
        graph = tf.function(plain, input_signature=signature).get_concrete_function().graph
        definition = graph.as_graph_def()
        nodes = [*definition.node, *(node for called in definition.library.function for node in called.node_def)]
        return {node.op for node in nodes}, {op.type for op in graph.get_operations() if op.op_def.is_stateful}

    return types
