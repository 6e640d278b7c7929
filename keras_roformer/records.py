"""Read texts and examples from .csv, .tsv, .jsonl and plain text files."""

import contextlib
import csv
import json


def read_records(path):
    """The rows of a .csv or .tsv file as dicts by its header; the JSON objects and texts of a
    .jsonl file; the lines of any other as texts, or as dicts where they are JSON objects."""
    with utf8(path), open(path, encoding="utf-8-sig", newline="") as file:
        if path.endswith((".csv", ".tsv")):
            csv.field_size_limit(2**31 - 1)  # by default, a longer text than 131,072 is an error
            yield from csv.DictReader(file, delimiter="\t" if path.endswith(".tsv") else ",")
        elif path.endswith(".jsonl"):
            yield from _parse_json(path, file)
        else:
            yield from parse_lines(file)


def _parse_json(path, lines):
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            why = f"{error.msg} at character {error.pos + 1}"
            raise ValueError(f"{path}: line {number} is not valid JSON: {why}") from None
        if not isinstance(record, (dict, str)):
            raise ValueError(f"{path}: line {number} is neither a JSON object nor a text")
        yield record


def parse_lines(lines):
    """Yield the lines that are not blank, as texts or, of JSON objects, as dicts."""
    for line in lines:
        line = line.strip()
        if line.startswith("{"):
            with contextlib.suppress(json.JSONDecodeError):
                yield json.loads(line)
                continue
        if line:
            yield line


@contextlib.contextmanager
def utf8(name):
    """Say of input that is in another encoding what to do."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{name} is not UTF-8, which has no byte 0x{error.object[error.start]:02x} where this "
            "has one; convert it, e.g. iconv -f gbk -t utf-8"
        ) from None
