"""Word vectors from the files of GloVe, word2vec (text) and fastText: a line a word, the word and its numbers.

word2vec and fastText say on a first line how many words there are and how long the vectors; GloVe does not. Words are
taken in the order of the file, the most frequent first.

References:
    https://nlp.stanford.edu/projects/glove/; Mikolov et al. 2013, https://arxiv.org/abs/1301.3781;
    https://fasttext.cc/docs/en/crawl-vectors.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from toolkit import ToolkitError

MAX_WORDS = 400_000


@dataclass(frozen=True)
class WordVectors:
    """Words in the order of their file, and their vectors (n, E) float32."""

    words: dict[str, int]
    vectors: np.ndarray

    @property
    def width(self) -> int:
        """E."""
        return self.vectors.shape[1]

    def placed(self, vocabulary: Sequence[str], random: np.ndarray) -> np.ndarray:
        """The matrix of an embedding: the vector of each known word, and random numbers of the same spread elsewhere.

        Args:
            vocabulary: words, the first of which has row 3 of the matrix.
            random: (3 + len(vocabulary), E), what the embedding begins with.
        """
        result = random / max(float(random.std()), 1e-12) * self.vectors.std()
        for row, word in enumerate(vocabulary, start=3):
            if word in self.words:
                result[row] = self.vectors[self.words[word]]
        return result


def read(path: str | Path, *, most: int = MAX_WORDS) -> WordVectors:
    """Reads a file of word vectors; words are made lower case, the first of equal ones counts.

    Args:
        path: the file, UTF-8.
        most: words to read.

    Raises:
        ToolkitError: the file is not there, or a line is no word with as many numbers as the first.
    """
    words: dict[str, int] = {}
    rows: list[np.ndarray] = []
    try:
        for number, word, values in _lines(Path(path)):
            if rows and len(values) != len(rows[0]):
                raise ToolkitError(f"{path}, line {number}: {len(values)} numbers stand behind {word!r}, and "
                                   f"{len(rows[0])} on the lines before; expected equally many. Is the file complete?")
            if words.setdefault(word.lower(), len(rows)) == len(rows):
                rows.append(values)
            if len(rows) == most:
                break
    except (OSError, UnicodeDecodeError) as error:
        raise ToolkitError(f"--embedding {path} cannot be read ({error}); expected a number of columns, or a text file "
                           "of GloVe, word2vec or fastText.") from error
    if not rows:
        raise ToolkitError(f"{path} has no word vectors; expected a word and its numbers on every line.")
    return WordVectors(words, np.stack(rows))


def _lines(path: Path) -> Iterator[tuple[int, str, np.ndarray]]:
    """Line number, word and vector; the first line of word2vec and fastText is left out."""
    width = 0
    with open(path, encoding="utf-8", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            word, *numbers = line.rstrip("\r\n ").split(" ")
            if len(numbers) > width > 0 and not _all_numbers(numbers[:-width]):
                word, numbers = " ".join([word, *numbers[:-width]]), numbers[-width:]  # GloVe has words with blanks
            if number == 1 and len(numbers) == 1 and word.isdigit() and numbers[0].isdigit():
                continue
            try:
                values = np.array(numbers, np.float32)
            except ValueError:
                values = np.zeros(0, np.float32)
            if not len(values) or not np.isfinite(values).all():
                raise ToolkitError(f"{path}, line {number}: expected a word and its numbers, found {line[:60]!r}.")
            width = len(values)
            yield number, word, values


def _all_numbers(words: Sequence[str]) -> bool:
    try:
        np.array(words, np.float32)
    except ValueError:
        return False
    return True
