"""feature-extraction and sentence-similarity: vectors of tokens and texts."""

import numpy as np

from keras_roformer.pipelines.pipeline_base import (
    Pipeline,
    Sample,
    one_of,
    text_of,
    tokenizer_arguments,
)

POOLINGS = ("mean", "cls")


class _Embedding(Pipeline):
    """What both tasks share: the last hidden states of texts, and one vector of these."""

    model_class = "RoFormerModel"
    default_model = "roformer_tiny_zh"
    least = dict(max_length=1)

    def check(self, given):
        given = super().check(given)
        if "pooling" in given:
            one_of("pooling", given["pooling"], POOLINGS)
        return given

    def rows(self, texts, options, **how):
        how = {"truncation": options.truncation, "max_length": options.max_length, **how}
        return [dict(input_ids=ids) for ids in self.tokenize(texts, **how)["input_ids"]]

    def output_size(self, row, length):
        return length * self.model.config.hidden_size

    def select(self, row, outputs, index, options):
        states = outputs["last_hidden_state"][index, : len(row["input_ids"])]  # (L, D)
        if options.pooling == "mean":
            return states.mean(axis=0)
        return states[0] if options.pooling == "cls" else states


class FeatureExtractionPipeline(_Embedding):
    """The model's last hidden states for texts.

    Call arguments:
        pooling: "mean" over the tokens, or "cls" for the first one's, gives one vector a text; by
            default there is one a token.
        return_tensors: give arrays instead of lists of numbers.
        truncation, max_length: for the tokenizer; by default texts are read whole.
        tokenize_kwargs: dict of these and other arguments for the tokenizer.

    Returns:
        (1, L, D) numbers for a text, as in transformers; with `pooling`, D numbers.
    """

    task = "feature-extraction"
    arguments = dict(
        pooling=None, return_tensors=False, truncation=None, max_length=None, tokenize_kwargs=None
    )

    def check(self, given):
        given = super().check(given)
        tokenize = given.get("tokenize_kwargs", {})
        if "truncation" in given and "truncation" in tokenize:
            raise ValueError("truncation is given twice: as an argument and in tokenize_kwargs")
        if tokenize.get("padding") == "max_length":
            raise ValueError(
                "padding='max_length' has no effect here: the result has the real tokens' states"
            )
        return given

    def encode(self, items, options):
        rows = self.rows(items, options, **tokenizer_arguments(options.tokenize_kwargs))
        return [Sample([row]) for row in rows]

    def postprocess(self, sample, options):
        (values,) = sample.outputs
        values = values if options.pooling else values[None]
        return values if options.return_tensors else values.tolist()


class SentenceSimilarityPipeline(_Embedding):
    """How near sentences are to a source sentence: cosines of the texts' vectors, from -1 to 1.

    Inputs are dicts `{"source_sentence": …, "sentences": […]}` as the hub's widgets send them, or
    the arguments `source_sentence` and `sentences`.

    Call arguments:
        pooling: what a text's vector is: the "mean" of its tokens' (the default) or the first
            token's ("cls").
        truncation, max_length: for the tokenizer; by default texts are read whole.

    Returns:
        a list with a number for each of the sentences.
    """

    task = "sentence-similarity"
    arguments = dict(pooling="mean", truncation=None, max_length=None)
    takes = 'a dict with "source_sentence" and "sentences"'
    parts = ("source_sentence", "sentences")

    def read(self, item):
        self.check_parts(item)
        return [text_of(item["source_sentence"], self.task), *self.texts_of(item, "sentences")]

    def encode(self, items, options):
        rows = iter(self.rows([text for texts in items for text in texts], options))
        return [Sample([next(rows) for _ in texts]) for texts in items]

    def postprocess(self, sample, options):
        vectors = np.stack(sample.outputs)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors[1:] @ vectors[0]).tolist()
