"""text-classification: labels and scores of texts or pairs of texts."""

import numpy as np

from keras_roformer.arrays import softmax
from keras_roformer.pipelines.pipeline_base import Pipeline, Sample, one_of, text_of

_NOT_GIVEN = object()

# What makes scores of logits; the sigmoid without overflow for large negative logits.
_FUNCTIONS = {
    "softmax": softmax,
    "sigmoid": lambda logits: 0.5 * (1.0 + np.tanh(0.5 * logits)),
    "none": np.asarray,
}


class TextClassificationPipeline(Pipeline):
    """Labels of texts, or of pairs `{"text": …, "text_pair": …}`.

    Call arguments:
        top_k: number of labels, the likeliest first; None for all. Not given: the likeliest alone.
        function_to_apply: "softmax", "sigmoid" or "none", which makes scores of the model's
            logits; "default" is what the config's problem_type and number of labels say.
        truncation, max_length, add_special_tokens: for the tokenizer; by default texts are read
            whole, between [CLS] and [SEP].
        padding: without effect: batches are padded here, which does not change the results.

    Returns:
        a dict with `label` and `score`; with top_k, a list of these. As in transformers, one text
        (not a pair) without top_k in the call gives a list of one.
    """

    task = "text-classification"
    model_class = "RoFormerForSequenceClassification"
    default_model = "roformer_tiny_zh_sentiment"
    arguments = dict(
        top_k=_NOT_GIVEN,
        function_to_apply="default",
        truncation=None,
        max_length=None,
        add_special_tokens=True,
        padding=None,
    )
    least = dict(top_k=1)
    takes = 'a text or a dict with "text" and "text_pair"'

    def check(self, given):
        all_labels = {"top_k": None} if given.get("top_k", 1) is None else {}
        given = super().check(given)
        if "function_to_apply" in given:
            name = str(given["function_to_apply"]).lower()
            given["function_to_apply"] = one_of("function_to_apply", name, ("default", *_FUNCTIONS))
        return {**given, **all_labels}

    def result_of(self, results, inputs, arguments):
        return [results] if isinstance(inputs, str) and "top_k" not in arguments else results

    def is_one(self, inputs):
        return super().is_one(inputs) or isinstance(inputs, dict)

    def read(self, item):
        if isinstance(item, dict):
            if set(item) not in ({"text"}, {"text", "text_pair"}):
                raise ValueError(
                    f'a pair is a dict with "text" and "text_pair", got the keys {list(item)}'
                )
            pair = item.get("text_pair")
            first = text_of(item["text"], self.task)
            return first, None if pair is None else text_of(pair, self.task)
        if isinstance(item, (list, tuple)):
            is_nested_pair = len(item) == 1 and isinstance(item[0], list) and len(item[0]) == 2
            if not is_nested_pair:  # the older form of a pair, which transformers still takes
                raise ValueError(
                    'a pair of texts is given as {"text": …, "text_pair": …}, '
                    f"got a {type(item).__name__} of {len(item)}"
                )
            return tuple(text_of(part, self.task) for part in item[0])
        return text_of(item, self.task, self.takes), None

    def encode(self, items, options):
        names = ("truncation", "max_length", "add_special_tokens")
        how = {name: getattr(options, name) for name in names}
        samples = [None] * len(items)
        # Two calls: the tokenizer takes a batch of texts or one of pairs.
        for paired in (False, True):
            chosen = [i for i, (_, second) in enumerate(items) if (second is not None) == paired]
            if not chosen:
                continue
            firsts, seconds = zip(*(items[i] for i in chosen), strict=True)
            pairs = list(seconds) if paired else None
            encoded = self.tokenize(list(firsts), pairs, types=paired, **how)
            for number, i in enumerate(chosen):
                names = ("input_ids", "token_type_ids") if paired else ("input_ids",)
                samples[i] = Sample([{name: encoded[name][number] for name in names}])
        return samples

    def postprocess(self, sample, options):
        config = self.model.config
        (logits,) = sample.outputs
        scores = _FUNCTIONS[_function_name(options.function_to_apply, config)](logits)
        labels = config.id2label
        if options.top_k is _NOT_GIVEN:
            best = int(scores.argmax())
            return {"label": labels[best], "score": float(scores[best])}
        order = np.argsort(-scores, kind="stable")[: options.top_k]
        return [{"label": labels[int(i)], "score": float(scores[i])} for i in order]


def _function_name(name, config):
    """A key of `_FUNCTIONS`: the name itself or, of "default", what the config says."""
    if name != "default":
        return name
    if config.problem_type == "regression":
        return "none"
    several = config.problem_type == "multi_label_classification"
    return "sigmoid" if several or config.num_labels == 1 else "softmax"
