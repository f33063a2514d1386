"""The digits as a set of TensorFlow Datasets, prepared on this machine from rows that are already in memory."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow_datasets as tfds

Example = tuple[str, np.ndarray, int]
"""Key, pixels (28, 28) uint8, label 0 to 9 or -1 for unlabelled (which TFDS allows in a ``ClassLabel``)."""


class Digits(tfds.core.GeneratorBasedBuilder):
    """TFDS set ``digits``: features ``image`` (28, 28, 1) uint8 and ``label``; splits ``train`` and ``test``.

    Args:
        examples: the examples of each split; only preparing needs them, reading does not.
        **options: those of every TFDS builder, such as ``data_dir``.
    """

    VERSION = tfds.core.Version("1.0.0")

    def __init__(self, *, examples: Mapping[str, Sequence[Example]] | None = None, **options) -> None:
        self._examples = examples
        super().__init__(**options)

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(28, 28, 1), dtype=np.uint8),
            "label": tfds.features.ClassLabel(names=[str(digit) for digit in range(10)]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description="Real MNIST digits as a few-label problem: a training row with label -1 is unlabelled.",
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator[tuple[str, dict]]]:
        del dl_manager  # nothing is downloaded
        if self._examples is None:
            raise ValueError("The set `digits` is not prepared here: python data/digits/prepare.py --tfds DATA_DIR")
        return {split: self._generate_examples(examples) for split, examples in self._examples.items()}

    def _generate_examples(self, examples: Sequence[Example]) -> Iterator[tuple[str, dict]]:
        for key, pixels, label in examples:
            yield key, {"image": pixels[..., np.newaxis], "label": label}


def prepare(data_dir: Path, examples: Mapping[str, Sequence[Example]]) -> Path:
    """Write the set below ``data_dir``, replacing one prepared earlier.

    Args:
        data_dir: folder of prepared TFDS sets, as in ``tfds.load(..., data_dir=data_dir)``.
        examples: the examples of each split, not empty.

    Returns:
        The folder of the prepared set, ``data_dir/digits/1.0.0``.
    """
    tfds.disable_progress_bar()
    builder = Digits(data_dir=str(data_dir), examples=examples)
    fresh = tfds.download.DownloadConfig(download_mode=tfds.GenerateMode.REUSE_CACHE_IF_EXISTS, try_download_gcs=False)
    builder.download_and_prepare(download_config=fresh)
    return Path(builder.data_dir)
