"""question-answering: the part of a context that answers a question."""

import dataclasses

import numpy as np

from keras_roformer.arrays import softmax
from keras_roformer.pipelines.pipeline_base import Pipeline, Sample, text_of
from keras_roformer.tokenizers.packing import windows


@dataclasses.dataclass
class _Context:
    """A tokenised context: the text, and of each token its characters and, for whole words, the
    number of its word."""

    text: str
    spans: list
    words: list | None
    ranges: list  # the tokens in each row


class QuestionAnsweringPipeline(Pipeline):
    """Answers to questions, cut out of contexts of any length.

    Inputs are dicts `{"question": …, "context": …}`, or the arguments `question` and `context`: two
    texts, a list of questions with one context, or two lists.

    Call arguments:
        top_k: number of answers, the likeliest first.
        max_seq_len: tokens of question and part of the context together, by default 384; longer
            contexts are read in parts.
        doc_stride: tokens that two parts share, by default 128, or half of a smaller max_seq_len.
        max_question_len: tokens of the question that are read.
        max_answer_len: most tokens of an answer.
        handle_impossible_answer: "" may be the answer, too.
        align_to_words: answers begin and end with whole words.
        padding: without effect: batches are padded here, which does not change the results.

    Returns:
        a dict with `score`, `start` and `end` (characters of the context) and `answer`; with top_k
        a list of these, unless there is only one. As in transformers, the probabilities of equal
        answers are summed up, within and over the parts, and so can exceed 1; and a list of one
        input gives what the input gives.
    """

    task = "question-answering"
    model_class = "RoFormerForQuestionAnswering"
    arguments = dict(
        top_k=1,
        max_seq_len=None,
        doc_stride=None,
        max_question_len=64,
        max_answer_len=15,
        handle_impossible_answer=False,
        align_to_words=True,
        padding=None,
    )
    least = dict(top_k=1, max_seq_len=1, max_question_len=1, max_answer_len=1, doc_stride=0)
    takes = 'a dict with "question" and "context"'
    parts = ("question", "context")

    def inputs_of(self, given, parts, arguments):
        if len(parts) == 1 or given and parts:
            raise TypeError("give question= and context= together, or dicts that have them")
        if parts:
            return _pairs(**parts)
        if len(given) == 2 and all(isinstance(text, str) for text in given):
            return _pairs(*given)
        return given[0] if len(given) == 1 else list(given)

    def result_of(self, results, inputs, arguments):
        is_list = isinstance(inputs, (list, tuple))
        return results[0] if is_list and len(inputs) == 1 else results

    def read(self, item):
        if not isinstance(item, dict) or not {"question", "context"} <= set(item):
            raise TypeError(f"{self.task} takes {self.takes}, got {item!r}")
        texts = [text_of(item[name], self.task) for name in ("question", "context")]
        for name, text in zip(("question", "context"), texts, strict=True):
            if not text.strip():
                raise ValueError(f"the {name} is empty: {item!r}")
        return texts

    def encode(self, items, options):
        questions, contexts = zip(*items, strict=True)
        questions = self.tokenize(list(questions), add_special_tokens=False)["input_ids"]
        encoded = self.tokenize(
            list(contexts), add_special_tokens=False, return_offsets_mapping=True
        )
        samples = []
        for i, (question, text) in enumerate(zip(questions, contexts, strict=True)):
            ids, spans = encoded["input_ids"][i], encoded["offset_mapping"][i]
            question = question[: options.max_question_len]
            ranges = self._ranges(question, ids, options)
            rows = [self._row(question, ids[first:last]) for first, last in ranges]
            words = encoded.word_ids(i) if options.align_to_words else None
            samples.append(Sample(rows, _Context(text, spans, words, ranges)))
        return samples

    def _ranges(self, question, ids, options):
        size, stride = options.max_seq_len, options.doc_stride
        size = min(self.tokenizer.model_max_length, 384) if size is None else size
        stride = min(size // 2, 128) if stride is None else stride
        added = len(question) + self.tokenizer.num_special_tokens_to_add(pair=True)
        if size - added < 1 or (len(ids) > size - added and stride >= size - added):
            raise ValueError(
                f"max_seq_len={size} leaves {size - added} tokens for the context after the "
                f"question's {added}, and doc_stride={stride} of these would be read twice; give "
                "a larger max_seq_len or a smaller doc_stride"
            )
        return windows(len(ids), size - added, stride, "right")

    def _row(self, question, context):
        ids = self.tokenizer.build_inputs_with_special_tokens(question, context)
        types = self.tokenizer.create_token_type_ids_from_sequences(question, context)
        after = self.tokenizer.num_special_tokens_to_add()
        start = len(question) + after  # [CLS] question [SEP] stand before the context
        return dict(input_ids=ids, token_type_ids=types, context=slice(start, start + len(context)))

    def output_size(self, row, length):
        return 2 * length

    def select(self, row, outputs, index, options):
        """Probabilities of start and end: of [CLS] (no answer) and then of the context's tokens."""
        logits = np.stack([outputs[name][index] for name in ("start_logits", "end_logits")])
        return softmax(np.concatenate([logits[:, :1], logits[:, row["context"]]], axis=1))

    def postprocess(self, sample, options):
        context = sample.about
        # Some of the spans become the same answer when they are aligned to words.
        count = 2 * options.top_k + 10 if options.align_to_words else options.top_k
        answers, no_answer = {}, np.inf
        for (first, last), (starts, ends) in zip(context.ranges, sample.outputs, strict=True):
            no_answer = min(no_answer, float(starts[0] * ends[0]))
            for start, end, score in _best_spans(
                starts[1:], ends[1:], count, options.max_answer_len
            ):
                start, end = first + start, first + end
                if options.align_to_words:
                    start, end = _whole_words(context.words, start, end, first, last)
                start, end = context.spans[start][0], context.spans[end][1]
                text = context.text[start:end]
                answer = answers.setdefault(
                    text.lower(), {"score": 0.0, "start": start, "end": end, "answer": text}
                )
                answer["score"] += score
        answers = list(answers.values())
        if options.handle_impossible_answer:
            answers.append({"score": no_answer, "start": 0, "end": 0, "answer": ""})
        answers = sorted(answers, key=lambda answer: -answer["score"])[: options.top_k]
        return answers[0] if len(answers) == 1 else answers


def _pairs(question, context):
    """The inputs that the arguments `question` and `context` mean."""
    if isinstance(question, str) and isinstance(context, str):
        question = [question]
    if isinstance(question, (list, tuple)) and isinstance(context, str):
        context = [context] * len(question)
    if not all(isinstance(texts, (list, tuple)) for texts in (question, context)):
        raise TypeError(
            "question and context must be texts or lists of texts, got "
            f"{type(question).__name__} and {type(context).__name__}"
        )
    if len(question) != len(context):
        raise ValueError(f"there are {len(question)} questions, but {len(context)} contexts")
    return [dict(question=q, context=c) for q, c in zip(question, context, strict=True)]


def _best_spans(starts, ends, count, longest):
    """The likeliest `(start, end, probability)`, at most `count`, of at most `longest` tokens."""
    scores = np.multiply.outer(starts, ends)
    allowed = np.tril(np.triu(np.ones(scores.shape, bool)), longest - 1)
    flat = np.where(allowed, scores, -1.0).ravel()
    count = min(count, int(allowed.sum()))
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.argsort(-flat[best], kind="stable")]
    return [(i // len(ends), i % len(ends), float(flat[i])) for i in best.tolist()]


def _whole_words(words, start, end, first, last):
    """Widen a span of tokens to whole words within tokens `first` to `last`."""
    while start > first and words[start - 1] == words[start]:
        start -= 1
    while end + 1 < last and words[end + 1] == words[end]:
        end += 1
    return start, end
