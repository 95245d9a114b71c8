"""Names of classes in the forms that people have them, without torch.

A JSON list, of names or of objects with ``id`` and ``name``; {"0": "cat"}; {"cat": 0};
{"0": ["n01440764", "tench"]}; ``id2label`` or ``label2id`` of a config.json; a text file of one name a line,
numbered or not; YAML; JSON lines; a CSV with a column of numbers and one of names. With or without a byte
order mark, in UTF-8 or UTF-16.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from resnet_demo.i18n import later
from resnet_demo.networks.cards import MAX_HEADER, CheckpointError, read_bytes

# a list with dashes, or an entry such as "names:" with what belongs to it below or behind; not "0: cat"
YAML = re.compile(r"(---\s|(#.*\n\s*)*(- \S|[A-Za-z_]\w*:\s*($|\n|\[|\{)|[A-Za-z_]\w*: \S+\n(.*\n)*?names:))")
SYNSET = re.compile(r"n\d{8}[\s,]+")  # WordNet's number, before the name in ImageNet's lists
NUMBERED = re.compile(r"(\d{1,9})\s*[:.)=]?\s+(.+)")
MAX_NAME = 200  # characters
NAMES_BESIDE = (".classes.json", ".classes.txt", ".classes.csv", ".labels.txt", ".labels.json")
HEADINGS = ("name", "names", "class_name", "classname", "label", "label_name", "class", "category")
NUMBERS = ("id", "index", "idx", "number", "class_id", "class_index", "label_id", "target", "#", "")
NAMED = (  # entries under which names lie, those of transformers, OpenMMLab and Ultralytics among them
    *("id2label", "label2id", "classes", "CLASSES", "class_names", "labels", "categories", "names"),
    *("class_to_idx", "idx_to_class", "dataset_meta"),
)
LABELS_BESIDE = (
    "classes.json",
    "classes.txt",
    "labels.txt",
    "labels.json",
    "class_names.txt",
    "class_names.json",
)


def read_class_names(path: Path) -> tuple[str, ...]:
    """The names in a file, in the order of the network's outputs.

    Raises:
        CheckpointError: it cannot be read, or its form is none of those above.
    """
    text = decode_text(read_bytes(path, MAX_HEADER), path.name)
    try:
        return _checked(_from_text(text))
    except (ValueError, TypeError, RecursionError, csv.Error, yaml.YAMLError):
        raise CheckpointError(
            later(
                "{names} is no list of class names: a JSON list, a text file of one name a line, or a JSON"
                " object of numbers and names is read.",
                names=path.name,
            )
        ) from None


def _from_text(text: str) -> list[str]:
    start = text.lstrip()
    if start[:1] in ("{", "["):
        lines = [line for line in text.splitlines() if line.strip()]
        if len(lines) > 1 and all(line.strip()[0] == "{" and line.strip()[-1] == "}" for line in lines):
            return _from_json([json.loads(line) for line in lines])  # JSON lines
        return _from_json(json.loads(text))
    if YAML.match(start):
        return _from_json(yaml.safe_load(text))
    return _from_lines(text)


def names_from(found: Any) -> tuple[str, ...]:
    """The names in an object that was read from JSON or from a checkpoint. Raises ValueError or TypeError if
    none."""
    return _checked(_from_json(found))


def _checked(names: list[str]) -> tuple[str, ...]:
    if not names or not all(names) or len(max(names, key=len)) > MAX_NAME:
        raise ValueError("a class without a name, or with a very long one")
    return tuple(names)


def decode_text(payload: bytes, name: str) -> str:
    """Text in UTF-8 or UTF-16, with or without a byte order mark; else in Latin-1, as old Windows programs
    write.

    Raises:
        CheckpointError: it is no text.
    """
    if payload.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    elif payload[1:2] == b"\0":
        encoding = "utf-16-le"
    elif payload[:1] == b"\0":
        encoding = "utf-16-be"
    else:
        encoding = "utf-8-sig"
    try:
        text = payload.decode(encoding)
    except UnicodeDecodeError:
        text = payload.decode("latin-1") if encoding == "utf-8-sig" else "\0"
    if "\0" in text:
        raise CheckpointError(later("{file} is no text file.", file=name))
    return text


def _from_json(found: Any) -> list[str]:
    if isinstance(found, Mapping):
        for key in NAMED:
            if isinstance(found.get(key), (Mapping, list, tuple)):
                return _from_json(found[key])
        if "label_names" in found:  # of timm's config.json; label_descriptions says more
            return _from_json(found["label_names"])
        if found and all(isinstance(v, int) and not isinstance(v, bool) for v in found.values()):
            return _in_order({int(number): str(name) for name, number in found.items()}, len(found))
        return _in_order({int(number): _one(name) for number, name in found.items()}, len(found))
    if not isinstance(found, (list, tuple)):
        raise TypeError
    if found and all(isinstance(one, Mapping) and isinstance(one.get("id"), int) for one in found):
        return _in_order({one["id"]: _one(one) for one in found}, len(found))
    return [_one(name) for name in found]


def _one(name: Any) -> str:
    """One name: text, or the last text of a list such as ["n01440764", "tench"]."""
    if isinstance(name, (list, tuple)) and name:
        name = name[-1]
    if isinstance(name, Mapping):
        name = next((name[key] for key in ("name", "label", "class") if isinstance(name.get(key), str)), None)
    if not isinstance(name, str):
        raise TypeError
    return name.strip()


def _in_order(names: Mapping[int, str], count: int) -> list[str]:
    first = min(names, default=0)
    if len(names) != count or first not in (0, 1) or set(names) != set(range(first, first + count)):
        raise ValueError
    return [names[first + i] for i in range(count)]


def _from_lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    for delimiter in (",", ";", "\t"):
        rows = [
            [cell.strip() for cell in row]
            for row in csv.reader(io.StringIO("\n".join(lines)), delimiter=delimiter)
        ]
        found = _from_columns(rows)
        if found:
            return found
    if all(SYNSET.match(line) for line in lines):
        return [SYNSET.sub("", line) for line in lines]
    numbered = [NUMBERED.match(line) for line in lines]
    if lines and all(numbered):
        try:
            return _in_order({int(m[1]): m[2] for m in numbered if m}, len(lines))
        except ValueError:  # names that begin with a number
            pass
    return lines


def _from_columns(rows: list[list[str]]) -> list[str]:
    """Names from rows with a column of the numbers 0 to n and one of names, with or without a heading.

    [] if they are not such. Of several columns beside the numbers the one that is called so has the names,
    else the last.
    """
    if not rows or len({len(row) for row in rows}) != 1 or len(rows[0]) < 2:
        return []
    for body in (rows, rows[1:]):
        heading = [cell.lower() for cell in rows[0]] if len(body) < len(rows) else []
        for number in range(len(rows[0])):
            if not body or not all(row[number].isdecimal() for row in body):
                continue
            others = [column for column in range(len(rows[0])) if column != number]
            called = [column for column in others if heading and heading[column] in HEADINGS]
            if heading and len(others) > 1 and heading[number] not in NUMBERS:
                continue  # a number of something else, such as how many photos there are
            name = (called or others)[0 if called else -1]
            return _in_order({int(row[number]): row[name] for row in body}, len(body))
    return []
