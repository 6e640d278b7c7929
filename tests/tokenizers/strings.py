"""The strings that both transformers and this package tokenize: real lines and fuzz.

Used inside the oracle's environment by `record.py` and by the tests, so it imports neither.
`lines.txt.xz` holds law texts (public domain), Tatoeba sentences (CC BY 2.0 FR, tatoeba.org),
poems of the Tang and sentences of our own; `python -m tests.tokenizers.strings` wrote it from
data/corpus (see tools/build_corpus.py). News and reviews are read from data/corpus where it has
been built: only hashes of their tokens are in the repository.
"""

import json
import lzma
import random
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE.parents[1] / "data" / "corpus"
FUZZED = 100_000
GROUP = 250  # strings a recorded hash stands for

# ruff: noqa: E501
OWN = """\
今天天气非常好。
今天天氣非常好，我們去公園散步吧！
我用iPhone 15 Pro拍了张照片😀，发到了https://example.com/a/b?c=d&e=f#g上。
Email me at someone@example.org — thanks!!!
ＡＢＣ１２３，全角字符：（测试）《书名》「引號」『双引号』……——～
naïve café résumé Ångström Straße İstanbul ΑΣ ΣΑΣ ﬁne №5 ½ ２½
한국어와 日本語のテキスト、カタカナｶﾀｶﾅ、がぎぐ、か゛
𠮷野家で𪚥を𠀀読む 㐀㒨䶵 豈更車 丽
👨\u200d👩\u200d👧\u200d👦 👍🏽 🇨🇳 ❤\ufe0f ☺ 1\ufe0f\u20e3
zero\u200bwidth\u200djoiner\ufeffbom\u00adsoft\u2028line\u2029para\u0085nel\x0bvt\x1ffs
价格：¥1,234.56元（约＄180.5），涨幅3.5％，C++、C#、AT&T、T恤、卡拉OK、O型血、e-mail
[CLS] 这是[MASK]一个[SEP]测试 [mask] [UNK][PAD]
don't can't we've they're I'm it's rock'n'roll
e\u0301 o\u0308 a\u0300\u0301 q\u0307\u0323 q\u0323\u0307 =\u0338 か\u3099 \u1100\u1161\u11a8
2024年1月1日12:30:45，GPT-4o_mini v1.2.3-beta+build.5 ~/path/to/file.txt C:\\Windows\\System32
هذا نص عربي עברית ไทย हिन्दी русский ёлка й Ελληνικά ά
Alice was beginning to get very tired of sitting by her sister on the bank, and of having nothing to do: once or twice she had peeped into the book her sister was reading, but it had no pictures or conversations in it.
Four score and seven years ago our fathers brought forth on this continent, a new nation, conceived in Liberty, and dedicated to the proposition that all men are created equal.
Shall I compare thee to a summer's day? Thou art more lovely and more temperate: Rough winds do shake the darling buds of May.
The tokenizer (jieba + WordPiece) splits "unaffable" into un ##aff ##able; see RFC-2119 §3.4 & co.
def f(x): return {k: v**2 for k, v in x.items() if v != 0}  # O(n)
床前明月光，疑是地上霜。举头望明月，低头思故乡。
白日依山尽，黄河入海流。欲穷千里目，更上一层楼。
春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。
红豆生南国，春来发几枝。愿君多采撷，此物最相思。
千山鸟飞绝，万径人踪灭。孤舟蓑笠翁，独钓寒江雪。
離離原上草，一歲一枯榮。野火燒不盡，春風吹又生。
國破山河在，城春草木深。感時花濺淚，恨別鳥驚心。
空山不見人，但聞人語響。返景入深林，復照青苔上。
千里之行\t始于足下\r\n不积跬步\n无以至千里\u3000\u3000缩进
"""

_SNIPPETS = (
    "中国 人民 今天 天气 非常 好 北京大学 卡拉OK C++ 3.14 a_b AT&T T恤 e-mail 100% １２ O型 Ⅲ [MASK] [SEP] [mask] "
    "café İstanbul ΑΣ 한국어 が ﬁ № Straße don't https://a.b/c?d=e 😀 𠮷 𪚥 hello WORLD ing ##ing "
    "中華人民共和國 臺灣 憂鬱 的 了 是 不 我 旋转位置编码 哈哈哈哈 unaffable Transformer 2024年"
).split()
_SNIPPETS += ["\r\n", "\r", "\n", "\t", " ", "  ", "\u3000", "e\u0301", "\u200b", "\ufeff", "\x00",
              "\x1f", "\u2028", "\ufe0f", "か\u3099", "=\u0338", "👨\u200d👩", "\u00a0"]  # fmt: skip


def fuzzed(count=FUZZED, seed=20240601):
    """Random strings of Han, ASCII, rare blocks, any code point and telling snippets."""
    rng = random.Random(seed)
    ranges = [(0x80, 0x2FFF), (0x3000, 0x33FF), (0xFF00, 0xFFEF), (0xF900, 0xFAFF), (0x300, 0x36F)]
    strings = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randint(1, 24)):
            kind = rng.random()
            if kind < 0.4:
                parts.append(chr(rng.randint(0x4E00, 0x9FA5)))
            elif kind < 0.65:
                parts.append(_SNIPPETS[rng.randrange(len(_SNIPPETS))])
            elif kind < 0.8:
                parts.append(chr(rng.randint(0x20, 0x7E)))
            elif kind < 0.93:
                parts.append(chr(rng.randint(*ranges[rng.randrange(len(ranges))])))
            else:
                code = rng.randint(0, 0x10FFFF)
                parts.append("?" if 0xD800 <= code < 0xE000 else chr(code))
        strings.append("".join(parts))
    return strings


def committed_lines():
    """Lines of law, Tatoeba, poems and our own."""
    return lzma.decompress((HERE / "lines.txt.xz").read_bytes()).decode().split("\0")


def corpus_lines():
    """6,000 lines each of news and reviews from data/corpus, or None where it is not built."""
    lines = []
    for name in ("news", "reviews"):
        path = CORPUS / f"{name}.jsonl"
        if not path.is_file():
            return None
        with path.open(encoding="utf-8") as file:
            entries = [json.loads(line) for line in file]
        texts = [entry.get("text") or "".join(entry["words"]) for entry in entries]
        lines += texts[:: max(1, len(texts) // 6000)][:6000]
    return lines


def _write_lines():
    rng = random.Random(1)
    own = [line for line in OWN.split("\n") if line]
    laws = [json.loads(line)["text"] for line in (CORPUS / "laws.jsonl").open(encoding="utf-8")]
    tatoeba = []
    for line in (CORPUS / "train.tsv").open(encoding="utf-8"):
        source, *rest = line.rstrip("\n").split("\t")
        if source == "tatoeba":
            tatoeba.append(rest[-1])
    lines = own + [text[:90] for text in rng.sample(laws, 6000)] + rng.sample(tatoeba, 15000)
    data = "\0".join(lines).encode()
    (HERE / "lines.txt.xz").write_bytes(lzma.compress(data, preset=9))
    print(len(lines), "lines")


if __name__ == "__main__":
    _write_lines()
