"""Files of GloVe, word2vec and fastText."""

import numpy as np
import pytest

from toolkit import ToolkitError
from toolkit.models import word_vectors

LINES = "the 0.1 0.2 0.3\nCat -1 0 1\nthe 9 9 9\n"


@pytest.mark.parametrize("head", ["", "3 3\n"])
def test_both_kinds_of_file(tmp_path, head):
    (tmp_path / "vectors.txt").write_text(head + LINES, encoding="utf-8")
    found = word_vectors.read(tmp_path / "vectors.txt")
    assert found.words == {"the": 0, "cat": 1}
    np.testing.assert_allclose(found.vectors, [[0.1, 0.2, 0.3], [-1, 0, 1]], rtol=1e-6)
    assert found.width == 3


def test_vectors_are_placed_behind_the_three_special_tokens(tmp_path):
    (tmp_path / "vectors.txt").write_text(LINES, encoding="utf-8")
    random = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    placed = word_vectors.read(tmp_path / "vectors.txt").placed(["dog", "cat", "the"], random)
    np.testing.assert_allclose(placed[4:], [[-1, 0, 1], [0.1, 0.2, 0.3]], rtol=1e-6)
    assert np.corrcoef(placed[3], random[3])[0, 1] > 0.999


def test_words_may_hold_blanks(tmp_path):
    (tmp_path / "vectors.txt").write_text("the 1 2\n. . . 3 4\nat me@x 5 6\n", encoding="utf-8")
    found = word_vectors.read(tmp_path / "vectors.txt")
    assert list(found.words) == ["the", ". . .", "at me@x"]
    np.testing.assert_array_equal(found.vectors, [[1, 2], [3, 4], [5, 6]])


@pytest.mark.parametrize(("text", "message"), [
    ("the 1 2\ncat 1 2 3\n", "line 2: 3 numbers stand behind 'cat'"), ("the 1 2\ncat 1\n", "line 2: 1 numbers stand behind 'cat'"), ("the 1 2\ncat one 2\n", "line 2: expected a word"),
    ("the 1 nan\n", "line 1: expected a word"), ("", "has no word vectors"), ("12 3\n", "has no word vectors")])
def test_damaged_files_are_refused(tmp_path, text, message):
    (tmp_path / "vectors.txt").write_text(text, encoding="utf-8")
    with pytest.raises(ToolkitError, match=message):
        word_vectors.read(tmp_path / "vectors.txt")


def test_a_missing_or_binary_file_is_refused(tmp_path):
    (tmp_path / "vectors.bin").write_bytes(b"\xff\xfe\x00" * 99)
    for name in ("vectors.bin", "nowhere.txt"):
        with pytest.raises(ToolkitError, match="cannot be read"):
            word_vectors.read(tmp_path / name)
