"""The test of the network that reads: ``python -m resnet_demo udhr --archive FILE --out DIR``.

Writes the Universal Declaration of Human Rights, preamble and articles, as ``DIR/sentences/xx.txt`` and its
different words as ``DIR/words/xx.txt``, a text a line, for ``evaluate --network languages --data``. Nothing
is chosen by it: it is another source than that of the training, in another style.
"""

from __future__ import annotations

import argparse
import re
import sys
import tarfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from resnet_demo.inputs.alphabet import has_letter
from resnet_demo.training.data import DataError

WRITTEN = """
af:afr ar:arb az:azj_latn be:bel bg:bul bn:ben bs:bos_latn ca:cat cs:ces cy:cym da:dan de:deu_1996
el:ell_monotonic en:eng eo:epo es:spa et:est eu:eus fa:pes_1 fi:fin fr:fra ga:gle gu:guj he:heb hi:hin hr:hrv
hu:hun hy:hye id:ind is:isl it:ita ja:jpn ka:kat kk:kaz ko:kor la:lat lg:lug lt:lit lv:lav mi:mri mk:mkd
mn:khk mr:mar ms:mly_latn nb:nob nl:nld nn:nno pa:pan pl:pol pt:por_PT ro:ron_2006 ru:rus sk:slk sl:slv sn:sna
so:som sq:als sr:srp_cyrl st:sot sv:swe sw:swh ta:tam te:tel th:tha tl:tgl tn:tsn tr:tur ts:tso_ZW uk:ukr
ur:urd vi:vie xh:xho yo:yor zh:cmn_hans zu:zul
"""
# two letters of ISO 639-1 -> what the translation is called in the archive
TRANSLATIONS: Mapping[str, str] = dict(pair.split(":") for pair in WRITTEN.split())  # type: ignore[misc]
ENDS = re.compile(r"(?<=[.!?;:।॥。！？；։۔؟])\s*(?<![0-9]\.)(?=\S)|(?<=[a-z]{3}[.;:])\s+")
AROUND = "\"'.,;:!?()[]«»“”„‘’–—-।॥։۔؟،؛"  # words
NUMBER = re.compile(r"\d")
LEAST = 8  # characters of a sentence
UNSPACED = ("ja", "th", "zh")  # their words are not told apart


def translation(xml: bytes) -> Iterator[str]:
    """The paragraphs of preamble and articles, without notes and headings."""
    root = ElementTree.fromstring(xml)
    for part in root.iter():
        if part.tag.rpartition("}")[2] in ("preamble", "article"):
            for paragraph in part.iter():
                if paragraph.tag.rpartition("}")[2] == "para":
                    yield " ".join("".join(paragraph.itertext()).split())


def sentences_of(paragraphs: Sequence[str]) -> list[str]:
    """Sentences, and parts of sentences that stand before a semicolon or colon; each once."""
    found = [part.strip() for paragraph in paragraphs for part in ENDS.split(paragraph) if part]
    return list(dict.fromkeys(part for part in found if len(part) >= LEAST and has_letter(part)))


def words_of(paragraphs: Sequence[str]) -> list[str]:
    """The different words, in small letters, in the order in which they come; each has two characters at
    least."""
    stripped = (word.strip(AROUND).lower() for p in paragraphs for word in p.split())
    return list(dict.fromkeys(w for w in stripped if len(w) > 1 and has_letter(w) and not NUMBER.search(w)))


def read_translations(archive: Path) -> Mapping[str, list[str]]:
    """The paragraphs of every language in TRANSLATIONS.

    Raises:
        DataError: the archive is missing or damaged, or lacks one of them.
    """
    wanted = {f"udhr_{translation}.xml": name for name, translation in TRANSLATIONS.items()}
    found: dict[str, list[str]] = {}
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                name = wanted.get(Path(member.name).name)
                if name and (file := tar.extractfile(member)):
                    found[name] = list(translation(file.read()))
    except (OSError, EOFError, tarfile.TarError, ElementTree.ParseError) as error:
        raise DataError(f"{archive} is not a readable archive of translations: {error}") from error
    if missing := sorted(TRANSLATIONS.keys() - {name for name, paragraphs in found.items() if paragraphs}):
        raise DataError(f"{archive} lacks udhr_{TRANSLATIONS[missing[0]]}.xml, or it is empty.")
    return dict(sorted(found.items()))


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m resnet_demo udhr", description=__doc__)
    parser.add_argument("--archive", type=Path, required=True, help="tar file that holds udhr_*.xml")
    parser.add_argument("--out", type=Path, required=True, help="folder for sentences/ and words/")
    args = parser.parse_args(argv)
    try:
        found = read_translations(args.archive)
    except DataError as error:
        print(error, file=sys.stderr)
        return 1
    counts = {"sentences": 0, "words": 0}
    for name, paragraphs in found.items():
        for kind, texts in (
            ("sentences", sentences_of(paragraphs)),
            ("words", [] if name in UNSPACED else words_of(paragraphs)),
        ):
            path = args.out / kind / f"{name}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{text}\n" for text in texts), encoding="utf-8")
            counts[kind] += len(texts)
    print(f"{len(found)} languages: {counts['sentences']} sentences, {counts['words']} words.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
