"""From texts to token numbers: which words or characters are known, counted on training rows.

0 is padding, 1 any unknown token, 2 the mark that hides a token in pretraining; then come the tokens, the most frequent
first. Words are without punctuation and in lower case, as `keras.layers.TextVectorization` makes them: of ASCII alone,
so that "Élan" and "élan" are two words; characters are as they stand. A word that occurs once is unknown: else nothing
would be learnt of unknown words.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import keras
import tensorflow as tf

PADDING, UNKNOWN, HIDDEN = 0, 1, 2
HIDDEN_TOKEN = "[MASK]"
KINDS = ("words", "characters")
_CHUNK = 4096


def count(texts: Iterable[str], tokens: str = "words") -> Counter[str]:
    """How often each token occurs.

    Args:
        texts: any number.
        tokens: "words" or "characters".

    Example:
        >>> count(["To be, or not to be"])["be"]
        2
    """
    counts: Counter[str] = Counter()
    layer, texts = vectorizer([], tokens), list(texts)
    for start in range(0, len(texts), _CHUNK):
        split = layer._preprocess(encoded(texts[start:start + _CHUNK]))  # the layer's own: they must agree
        counts.update(token.decode("utf-8", "replace") for token in split.flat_values.numpy().tolist())
    return counts


def encoded(texts: Iterable[str]) -> tf.Tensor:
    """Texts as a tensor of strings (B,); half a surrogate pair, which UTF-8 does not have, becomes a question mark."""
    return tf.constant([text.encode("utf-8", "replace") for text in texts], tf.string)


def choose(counts: Counter[str], size: int, *, known: Collection[str] = (), least: int = 2) -> list[str]:
    """The tokens of a vocabulary, the most frequent first; the same whatever the order of the texts.

    Args:
        counts: from `count`.
        size: most tokens, with the three that stand for padding, unknown and hidden ones.
        known: tokens that word vectors have, the most frequent first: one occurrence of them is enough, and they fill
            the places that are left.
        least: times that another token must occur.
    """
    vectors = dict.fromkeys(known)
    enough = [token for token, times in counts.items() if times >= least or token in vectors]
    chosen = sorted(enough, key=lambda token: (-counts[token], token))[:max(size - 3, 0)]
    have = set(chosen)
    chosen += [token for token in vectors if token not in have][:max(size - 3 - len(chosen), 0)]
    return [token for token in chosen if token not in ("", "[UNK]", HIDDEN_TOKEN)]


def vectorizer(vocabulary: Sequence[str], tokens: str = "words") -> keras.layers.TextVectorization:
    """The layer "tokens": strings (B,) to numbers (B, T) int64, padded with zeros to the longest text of the batch.

    Args:
        vocabulary: from `choose`.
        tokens: "words" or "characters".

    Raises:
        ValueError: other tokens.
    """
    if tokens not in KINDS:
        raise ValueError(f"tokens is {tokens!r}; expected words or characters")
    words = tokens == "words"
    return keras.layers.TextVectorization(
        standardize="lower_and_strip_punctuation" if words else None, split="whitespace" if words else "character",
        vocabulary=[HIDDEN_TOKEN, *vocabulary], name="tokens")
