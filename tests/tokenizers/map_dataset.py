"""`datasets.map` with two processes: right ids, and a cache that is found again.

    python -m tests.tokenizers.map_dataset

A program, as forking a process with frameworks loaded may block. It prints the fingerprints of
what it made, which are the same in every process.
"""

import pickle

from datasets import Dataset, disable_progress_bars
from datasets.fingerprint import Hasher

from keras_roformer.tokenizers import RoFormerTokenizer, RoFormerTokenizerFast

from .record import VOCAB
from .strings import committed_lines


def main():
    disable_progress_bars()
    lines = committed_lines()[:300]
    texts = Dataset.from_dict({"text": lines})
    for cls in (RoFormerTokenizer, RoFormerTokenizerFast):
        tokenizer = cls(VOCAB, user_dict=["我们去公园"])
        tokenizer.add_tokens(["旋转位置编码"])
        before = Hasher.hash(tokenizer)

        def encode(rows, tokenizer=tokenizer):
            return tokenizer(rows["text"])

        mapped = texts.map(encode, batched=True, num_proc=2)
        assert mapped["input_ids"][:] == [tokenizer(line)["input_ids"] for line in lines]
        again = texts.map(encode, batched=True, num_proc=2)
        assert again._fingerprint == mapped._fingerprint
        assert Hasher.hash(tokenizer) == before
        assert Hasher.hash(pickle.loads(pickle.dumps(tokenizer))) == before
        print(mapped._fingerprint)


if __name__ == "__main__":
    main()
