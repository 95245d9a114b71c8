"""Texts by language: the archive to sentences and word pairs, the split, the alphabet, and spans of equal
length.

The archive holds ``lingua/sentences/xx.txt`` and ``lingua/word-pairs/xx.txt``, a text a line. Every tenth
line of each file is validation; everything is chosen there. The Universal Declaration of Human Rights in
the same archive is the test, which nothing here reads; see ``udhr.py``.

The Spanish files of lingua have lost every letter with an accent ("continuacin"); ``with_accents`` puts
them back, or the network takes whatever has one for Catalan or Portuguese.
"""

from __future__ import annotations

import re
import tarfile
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from resnet_demo.inputs.alphabet import KINDS, Alphabet, kind_of, normalise
from resnet_demo.training.data import DataError

HELD_BACK = 10  # every so many lines is validation
FREQUENT = 1e-3  # share of the text of some language from which a character may have a channel of its own
WRITES = 0.1  # share of a language's letters from which a script counts as writing it
SHORT = 24  # letters up to which spans end where a word ends
WITHOUT_ACCENTS = ("es",)  # languages whose files have lost their letters beyond ASCII
WORD = re.compile("[a-z]+")
UNSPACED = ("ja", "th", "zh")  # written without spaces: words begin and end anywhere


@dataclass(frozen=True)
class Texts:
    """The texts of one language, normalised."""

    sentences: tuple[str, ...]
    pairs: tuple[str, ...]

    def part(self, validation: bool) -> Texts:
        """Those of validation, or the others."""
        return Texts(*(_part(texts, validation) for texts in (self.sentences, self.pairs)))


def _part(texts: Sequence[str], validation: bool) -> tuple[str, ...]:
    return tuple(text for i, text in enumerate(texts) if (i % HELD_BACK == 0) is validation)


def read_archive(archive: Path) -> dict[str, Texts]:
    """The texts of every language, by its two letters, in alphabetical order.

    Raises:
        DataError: the archive is missing, damaged, or holds none.
    """
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                path = PurePosixPath(member.name)
                if (
                    member.isfile()
                    and path.parent.name in ("sentences", "word-pairs")
                    and path.suffix == ".txt"
                ):
                    file = tar.extractfile(member)
                    assert file is not None
                    lines = map(normalise, file.read().decode().splitlines())
                    found[path.stem, path.parent.name] = tuple(line for line in lines if line)
    except (OSError, EOFError, tarfile.TarError, UnicodeDecodeError) as error:
        raise DataError(f"{archive} is not a readable archive of texts: {error}") from error
    languages = sorted({language for language, _ in found})
    if not languages:
        raise DataError(f"{archive} holds no sentences/xx.txt.")
    for language, part in found:
        if language in WITHOUT_ACCENTS:
            found[language, part] = with_accents(found[language, part], language)
    return {
        name: Texts(found.get((name, "sentences"), ()), found.get((name, "word-pairs"), ()))
        for name in languages
    }


def with_accents(texts: Sequence[str], language: str) -> tuple[str, ...]:
    """``texts`` whose words get back the letters that they have lost: each becomes the most frequent word of
    the language that reads so without its letters beyond ASCII ("continuacin": "continuación").

    The words and how frequent they are come from pyspellchecker (https://github.com/barrust/pyspellchecker).
    A text that has such letters is left as it is.
    """
    from spellchecker import SpellChecker  # for training only, and 86,000 words

    counts = SpellChecker(language=language).word_frequency.dictionary
    whole: dict[str, str] = {}
    for word in sorted(counts, key=counts.__getitem__):
        whole["".join(letter for letter in word if letter.isascii())] = word
    return tuple(
        WORD.sub(lambda word: whole.get(word[0], word[0]), text)
        if not any(letter.isalpha() and not letter.isascii() for letter in text)
        else text
        for text in texts
    )


def choose_channels(texts: Mapping[str, Texts]) -> tuple[str, ...]:
    """The channels for these languages: the space; every character that makes up FREQUENT of one of them,
    if it is no letter of a script that writes one language alone (the script then tells the language);
    every script; KINDS."""
    shares = {name: _shares("".join((*t.sentences, *t.pairs))) for name, t in texts.items()}
    most: dict[str, float] = defaultdict(float)
    writes: Counter[str] = Counter()
    scripts: set[str] = set()
    for share in shares.values():
        kinds: dict[str, float] = defaultdict(float)
        for character, part in share.items():
            most[character] = max(most[character], part)
            kinds[kind_of(character)] += part
        letters = {kind: part for kind, part in kinds.items() if kind not in KINDS}
        writes.update(kind for kind, part in letters.items() if part > WRITES * sum(letters.values()))
        scripts.update(kind for kind, part in letters.items() if part > FREQUENT)
    own = [
        character
        for character, part in most.items()
        if part >= FREQUENT
        and (kind_of(character) in ("punctuation", "marks") or writes[kind_of(character)] > 1)
    ]
    return (" ", *sorted(own), *sorted(scripts), *KINDS)


def _shares(text: str) -> dict[str, float]:
    return {character: count / len(text) for character, count in Counter(text).items()}


class Spans:
    """Pieces of texts of one exact length, so that a batch needs no padding: what a network sees in
    training is what it sees on the page, a text with a space at either end and nothing beyond.

    Args:
        texts: of each language, in the order of the classes.
    """

    def __init__(self, texts: Mapping[str, Texts], alphabet: Alphabet) -> None:
        self.languages = tuple(texts)
        self.streams = [
            alphabet.encode("".join(text[:-1] for part in (t.sentences, t.pairs) for text in part) + " ")
            for t in texts.values()
        ]
        self.space = alphabet.index[" "]
        self.shared = np.array([alphabet.shared(i) for i in range(len(alphabet.channels))], np.int16)
        self._starts: dict[tuple[int, int], NDArray[np.int32]] = {}

    def starts(self, language: int, length: int) -> NDArray[np.int32]:
        """Where spans of ``length`` may begin: at a space, and up to SHORT letters such that they end at
        one too."""
        key = language, length if length <= SHORT else 0
        if key not in self._starts:
            spaces = self.streams[language] == self.space
            if key[1]:
                spaces = spaces[: 1 - length] & spaces[length - 1 :]
            self._starts[key] = np.flatnonzero(spaces).astype(np.int32)
        found = self._starts[key]
        return found if key[1] else found[: np.searchsorted(found, len(self.streams[language]) - length + 1)]

    def draw(self, language: int, length: int, rng: np.random.Generator) -> NDArray[np.int16]:
        """One span, (length,) channels."""
        stream, starts = self.streams[language], self.starts(language, length)
        if self.languages[language] in UNSPACED and (length <= SHORT or rng.random() < 0.5):
            first = int(rng.integers(len(stream) - length))
            span = stream[first : first + length].copy()
            span[[0, -1]] = self.space
            return span
        if len(starts) == 0:  # no words of these lengths in this language: one that is cut off
            starts = self.starts(language, 0)[:-1]
            starts = starts[starts < len(stream) - length]
        first = int(starts[rng.integers(len(starts))])
        return stream[first : first + length].copy()
