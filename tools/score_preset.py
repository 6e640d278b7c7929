"""Score a masked-language-model preset on texts it has not seen.

    python tools/score_preset.py              # presets/roformer_tiny_zh, with its float16 weights

Prints, and writes into the preset's `metadata.json` under "scores":

- heldout: the whole held-out corpus, 15 % of the words hidden, every hidden token as [MASK];
- heldout_80_10_10: the same with the corruption of training (some answers can be read off);
- unigram: what knowing the tokens' frequencies alone gives on the same tokens;
- sample: `tests/data/heldout_sample.tsv`, law and Tatoeba sentences that may be passed on;
- everyday: `tests/data/everyday.tsv`, own sentences with answers written down beforehand; how many
  have one of these among the five most probable tokens, and the five.
"""

import argparse
import json
import os
from pathlib import Path

import numpy as np
from masked_rows import CLS, IGNORED, MASK, SEP, Rows, hide_every_seventh_word, mask_batch, tokenize

ROOT = Path(__file__).resolve().parents[1]
SAMPLE = ROOT / "tests" / "data" / "heldout_sample.tsv"
EVERYDAY = ROOT / "tests" / "data" / "everyday.tsv"
# Few shapes, so that compiled backends compile little; small ones, as all logits are computed.
SAMPLE_LENGTHS = (32, 64)
SAMPLE_BATCH = 20


def text_mask(segments):
    """(B, L) numbers of the texts in each row → (B, L, L) mask that keeps the texts apart."""
    return segments[:, :, None] == segments[:, None, :]


def evaluate(predict, rows, vocab_size, batch_size=64, corrupt=False):
    """Cross-entropy and correctness of every masked token of fixed masks.

    Args:
        predict: inputs of `mask_batch` → logits (B, P, V), as arrays.

    Returns:
        Arrays `(cross_entropy, correct, source, answer)`, one entry a masked token.
    """
    rng = np.random.default_rng(2021)
    parts = []
    for start in range(0, len(rows), batch_size):
        index = np.arange(start, start + batch_size) % len(rows)  # one shape: the last is filled up
        inputs, labels = mask_batch(rows, index, rng, vocab_size, corrupt)
        counts = labels != IGNORED
        counts[len(rows) - start :] = False
        answers = labels[counts]
        logits = np.asarray(predict(inputs), "float32")[counts]  # (masked tokens, V)
        top = logits.max(axis=-1)
        normalizers = top + np.log(np.exp(logits - top[:, None]).sum(axis=-1))
        values = normalizers - logits[np.arange(len(answers)), answers]
        sources = np.take_along_axis(rows.sources[index], inputs["positions"], axis=1)[counts]
        parts.append((values, logits.argmax(axis=-1) == answers, sources, answers))
    return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]


def standard_error(values):
    return float(np.std(values, ddof=1) / np.sqrt(len(values)))


def summarize(values, right):
    return {
        "masked_tokens": len(right),
        "accuracy": round(float(right.mean()), 4),
        "accuracy_standard_error": round(standard_error(right), 4),
        "cross_entropy": round(float(values.mean()), 3),
        "cross_entropy_standard_error": round(standard_error(values), 3),
    }


def unigram_scores(train, answers, vocab_size):
    """The same scores for a model that knows only how often each token occurs (plus one)."""
    counts = np.bincount(train.ids[train.words >= 0], minlength=vocab_size) + 1.0
    return summarize(-np.log(counts / counts.sum())[answers], answers == counts.argmax())


def sample_batches(tokenizer, path=SAMPLE):
    """The sample as batches of `(input_ids, attention_mask, labels)` arrays, (B, 32) or (B, 64)."""
    texts = [line.split("\t")[1] for line in path.read_text("utf-8").splitlines()]
    encoded = [tokenizer.encode_words(text) for text in texts]
    shortest = 0
    for length in SAMPLE_LENGTHS:
        fitting = [i for i, (ids, _) in enumerate(encoded) if shortest < len(ids) + 2 <= length]
        for start in range(0, len(fitting), SAMPLE_BATCH):
            input_ids = np.full((SAMPLE_BATCH, length), tokenizer.pad_token_id, "int32")
            attention_mask = np.zeros_like(input_ids)
            attention_mask[:, 0] = 1  # in the rows that a last batch leaves empty, too
            labels = np.full_like(input_ids, IGNORED)
            for row, i in enumerate(fitting[start : start + SAMPLE_BATCH]):
                ids, words = encoded[i]
                hidden = hide_every_seventh_word(words, i)
                end = len(ids) + 1
                input_ids[row, : end + 1] = [CLS, *np.where(hidden, MASK, ids), SEP]
                attention_mask[row, : end + 1] = 1
                labels[row, 1:end] = np.where(hidden, ids, IGNORED)
            yield input_ids, attention_mask, labels
        shortest = length


def sample_scores(model_logits, tokenizer):
    """`model_logits`: (input_ids, attention_mask) → logits (B, L, V), as arrays."""
    right, answers = [], []
    for input_ids, attention_mask, labels in sample_batches(tokenizer):
        logits = model_logits(input_ids, attention_mask)
        counts = labels != IGNORED
        right.append((logits.argmax(axis=-1) == labels)[counts])
        answers.append(labels[counts])
    right, answers = np.concatenate(right), np.concatenate(answers)
    return {
        "masked_tokens": len(right),
        "accuracy": round(float(right.mean()), 4),
        "accuracy_standard_error": round(standard_error(right), 4),
        "most_frequent_answer": round(float(np.bincount(answers).max() / len(answers)), 4),
    }


def everyday_scores(model_logits, tokenizer, path=EVERYDAY):
    lines = [line.split("\t") for line in path.read_text("utf-8").splitlines()]
    inputs = tokenizer([text for text, _ in lines], padding="max_length", max_length=32)
    input_ids = np.asarray(inputs["input_ids"], "int32")
    logits = model_logits(input_ids, np.asarray(inputs["attention_mask"], "int32"))
    place = (input_ids == MASK).argmax(axis=1)
    best = np.argsort(-logits[np.arange(len(lines)), place])[:, :5]
    answers = {
        text: tokenizer.convert_ids_to_tokens(top.tolist())
        for (text, _), top in zip(lines, best, strict=True)
    }
    found = sum(bool(set(accepted.split()) & set(answers[text])) for text, accepted in lines)
    return {"sentences": len(lines), "sensible_in_top_5": found, "top_5": answers}


def score(preset, train, heldout, sources):
    """All the scores of a preset's files; prints them and writes them into its metadata."""
    import keras
    from keras import ops

    from keras_roformer import RoFormerConfig, RoFormerTokenizer
    from keras_roformer.tasks import RoFormerNetwork
    from keras_roformer.weights import checkpoint, transfer

    keras.config.set_dtype_policy("float32")
    tokenizer = RoFormerTokenizer.from_pretrained(preset)
    network = RoFormerNetwork(RoFormerConfig.from_pretrained(preset), task="masked_lm")
    transfer.load(network, checkpoint.read(preset))

    def logits_of(input_ids, attention_mask, **kwargs):
        outputs = network(input_ids, attention_mask=attention_mask, **kwargs)
        return ops.convert_to_numpy(ops.stop_gradient(outputs["logits"]))

    def predict(inputs):
        mask = text_mask(inputs["segments"]).astype("int32")
        return logits_of(inputs["input_ids"], mask, logits_positions=inputs["positions"])

    size = len(tokenizer)
    values, right, source, answers = evaluate(predict, heldout, size)
    by_source = {
        name: summarize(values[source == i], right[source == i]) for i, name in enumerate(sources)
    }
    scores = {
        "heldout": summarize(values, right) | {"by_source": by_source},
        "heldout_80_10_10": summarize(*evaluate(predict, heldout, size, corrupt=True)[:2]),
        "unigram": unigram_scores(train, answers, size),
        "sample": sample_scores(logits_of, tokenizer),
        "everyday": everyday_scores(logits_of, tokenizer),
    }
    add_scores(preset, scores)
    print(json.dumps(scores, ensure_ascii=False, indent=2))


def add_scores(preset, scores):
    """Put the scores into a preset's metadata."""
    metadata = json.loads((preset / "metadata.json").read_text("utf-8"))
    write_metadata(preset, metadata | {"scores": scores})


def write_metadata(preset, metadata):
    text = json.dumps(metadata, ensure_ascii=False, indent=2)
    (preset / "metadata.json").write_text(text + "\n", "utf-8")


def load_rows(corpus):
    """`(train, heldout, sources)` of a corpus directory, packed."""
    import corpora

    from keras_roformer import RoFormerTokenizer

    tokenizer = RoFormerTokenizer(corpus / "vocab.txt")
    manifest = json.loads((corpus / "manifest.json").read_text("utf-8"))
    sources = [source for source in manifest["pretraining"] if source != "total"]
    train, heldout = (
        Rows(tokenize(tokenizer, corpora.read_corpus(part, corpus), sources))
        for part in ("train", "heldout")
    )
    return train, heldout, sources


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", type=Path, default=ROOT / "presets" / "roformer_tiny_zh")
    parser.add_argument("--corpus", type=Path, default=ROOT / "data" / "corpus")
    parser.add_argument("--backend", default="torch", choices=["torch", "jax", "tensorflow"])
    arguments = parser.parse_args()
    os.environ["KERAS_BACKEND"] = arguments.backend
    score(arguments.preset, *load_rows(arguments.corpus))


if __name__ == "__main__":
    main()
