"""multiple-choice: which of some texts goes best with a prompt."""

import numpy as np

from keras_roformer.arrays import softmax
from keras_roformer.batches import mask_of_lengths, padded_rows
from keras_roformer.pipelines.pipeline_base import Pipeline, Sample, text_of


class MultipleChoicePipeline(Pipeline):
    """Which of some choices goes best with a prompt.

    Inputs are dicts `{"prompt": …, "choices": […]}`, or the arguments `prompt` and `choices`. The
    choices are encoded as in the documented example of `RoFormerForMultipleChoice`: pairs of prompt
    and choice, padded to the longest, which matters to a model with summary_type="last".

    Call arguments:
        top_k: number of choices, the likeliest first; by default all.

    Returns:
        a list of dicts with `label` (the choice's number), `choice` and `score` (probability).
    """

    task = "multiple-choice"
    model_class = "RoFormerForMultipleChoice"
    arguments = dict(top_k=None)
    least = dict(top_k=1)
    takes = 'a dict with "prompt" and "choices"'
    parts = ("prompt", "choices")

    def read(self, item):
        self.check_parts(item)
        return text_of(item["prompt"], self.task), self.texts_of(item, "choices")

    def encode(self, items, options):
        samples = []
        for prompt, choices in items:
            encoded = self.tokenize([prompt] * len(choices), choices, types=True)
            row = {name: encoded[name] for name in ("input_ids", "token_type_ids")}
            samples.append(Sample([row], choices))
        return samples

    def length(self, row):
        return max(map(len, row["input_ids"]))

    def kind(self, row, options):
        return self.length(row), len(row["input_ids"])  # more padding would change the scores

    def _padded(self, length):
        return length

    def _arrays(self, rows):
        shape = len(rows), len(rows[0]["input_ids"]), self.length(rows[0])
        ids, types = (
            [choice for row in rows for choice in row[name]]
            for name in ("input_ids", "token_type_ids")
        )
        batch = {
            "input_ids": padded_rows(ids, shape[-1], self.tokenizer.pad_token_id or 0),
            "token_type_ids": padded_rows(types, shape[-1]),
            "attention_mask": mask_of_lengths(list(map(len, ids)), shape[-1]),
        }
        return {name: array.reshape(shape) for name, array in batch.items()}

    def postprocess(self, sample, options):
        scores = softmax(sample.outputs[0])
        order = np.argsort(-scores, kind="stable")[: options.top_k].tolist()
        return [{"label": i, "choice": sample.about[i], "score": float(scores[i])} for i in order]
