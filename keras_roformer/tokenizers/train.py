"""A vocabulary from texts, for `train_new_from_iterator`."""

from collections import Counter
from collections.abc import Iterable
from itertools import chain, repeat

from tokenizers import Tokenizer, models, pre_tokenizers, trainers


def count_words(core, texts):
    """How often each word stands in `texts`, an iterable of texts or of lists of texts."""
    counts = Counter()
    for item in texts:
        for text in [item] if isinstance(item, str) or not isinstance(item, Iterable) else item:
            if not isinstance(text, str):
                raise ValueError(
                    f"The training texts must be str, or lists of str, not {type(text).__name__}: "
                    f"{text!r}."
                )
            counts.update(core.word_strings(text))
    if not counts:
        raise ValueError("The training texts hold no words: is the iterator exhausted?")
    return counts


def make_vocab(
    counts, split, special_tokens, vocab_size, whole_words, min_frequency=0, prefix="##", **trainer
):
    """`{token: id}` of at most `vocab_size` tokens for words counted in `counts`.

    See `train_new_from_iterator`; words and pieces share the room by how many words of the texts
    they serve.

    Args:
        split: word -> the strings that WordPiece would see if the word were not in the vocabulary.
        whole_words: whether words of several parts may be tokens, that is, whether jieba cuts.
        **trainer: arguments of `tokenizers.trainers.WordPieceTrainer`.
    """
    chars, runs, words = Counter(), Counter(), Counter()
    for word, count in counts.items():
        parts = split(word)
        for part in parts:
            chars[part[0]] += count
            for char in part[1:]:
                chars[prefix + char] += count
            if len(part) > 1:
                runs[part] += count
        if whole_words and len(parts) > 1 and count >= min_frequency:
            words[word] += count
    vocab = dict.fromkeys(special_tokens)
    vocab.update(dict.fromkeys(_frequent(chars)))
    room = vocab_size - len(vocab)
    if room > 0 and runs:
        share = round(room * runs.total() / (runs.total() + words.total()))
        pieces = _train(runs, share, prefix, {**trainer, "min_frequency": min_frequency})
        vocab.update(dict.fromkeys(pieces))
    for word in _frequent(words):
        if len(vocab) >= vocab_size:
            break
        vocab[word] = None
    return {token: index for index, token in enumerate(list(vocab)[:vocab_size])}


def _frequent(counter):
    """The keys, most frequent first, in a fixed order."""
    return sorted(counter, key=lambda key: (-counter[key], key))


def _train(runs, share, prefix, arguments):
    """At most `share` WordPiece pieces of more than one character for counted runs."""
    model = Tokenizer(models.WordPiece(unk_token="[UNK]", continuing_subword_prefix=prefix))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    alphabet = {char for run in runs for char in run} | {
        prefix + c for run in runs for c in run[1:]
    }
    trainer = trainers.WordPieceTrainer(
        vocab_size=len(alphabet) + share,
        continuing_subword_prefix=prefix,
        **{"show_progress": False, **arguments},
    )
    texts = chain.from_iterable(repeat(run, runs[run]) for run in sorted(runs))
    model.train_from_iterator(texts, trainer=trainer)
    pieces = sorted(model.get_vocab().items(), key=lambda item: item[1])
    return [piece for piece, _ in pieces if len(piece.removeprefix(prefix)) > 1][:share]
