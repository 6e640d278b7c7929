"""fill-mask: which tokens fit the [MASK]s of a text."""

import logging

import numpy as np

from keras_roformer.arrays import softmax
from keras_roformer.pipelines.pipeline_base import (
    Pipeline,
    Sample,
    shortened,
    tokenizer_arguments,
)

logger = logging.getLogger("keras_roformer")


class FillMaskPipeline(Pipeline):
    """Which tokens fit the [MASK]s of a text.

    Call arguments:
        top_k: number of answers for every mask.
        targets: token or list of tokens: only these are considered. A word that is no token is
            represented by its first piece, with a warning.
        tokenizer_kwargs: dict of arguments for the tokenizer, e.g. `truncation` and `max_length`;
            by default texts are read whole.

    Returns:
        for a text with one mask a list of dicts, the likeliest first, with `score` (probability
        among all tokens), `token` (id), `token_str` and `sequence` (the filled text); with several
        masks a list of such lists, each filling its mask alone. A list of one text gives what the
        text gives, as in transformers.
    """

    task = "fill-mask"
    model_class = "RoFormerForMaskedLM"
    default_model = "roformer_tiny_zh"
    arguments = dict(top_k=5, targets=None, tokenizer_kwargs=None)
    least = dict(top_k=1)

    def check(self, given):
        given = super().check(given)
        if "targets" in given:
            targets = given["targets"]
            given["targets"] = self._target_ids([targets] if isinstance(targets, str) else targets)
        return given

    def result_of(self, results, inputs, arguments):
        return results[0] if isinstance(inputs, list) and len(inputs) == 1 else results

    def _target_ids(self, targets):
        vocab = self.tokenizer.get_vocab()
        ids = []
        for target in targets:
            index = vocab.get(target)
            if index is None:
                pieces = self.tokenize(target, add_special_tokens=False)["input_ids"]
                if not pieces:
                    logger.warning("the target %r has no token; it is left out", target)
                    continue
                index = pieces[0]
                logger.warning(
                    "the target %r is no token; its first piece %r stands for it",
                    target,
                    self.tokenizer.convert_ids_to_tokens(index),
                )
            if index not in ids:
                ids.append(index)
        if not ids:
            raise ValueError(f"targets must name at least one token, got {list(targets)!r}")
        return np.array(ids)

    def encode(self, items, options):
        samples = []
        encoded = self.tokenize(items, **tokenizer_arguments(options.tokenizer_kwargs))
        for text, ids in zip(items, encoded["input_ids"], strict=True):
            # The head runs on the masks only, which saves most of the time of a small model.
            masks = [i for i, token in enumerate(ids) if token == self.tokenizer.mask_token_id]
            if not masks:
                raise ValueError(
                    f"fill-mask needs {self.tokenizer.mask_token} in the text, "
                    f"got {shortened(text)!r}"
                )
            samples.append(Sample([dict(input_ids=ids, logits_positions=masks)]))
        return samples

    def output_size(self, row, length):
        return len(row["logits_positions"]) * self.model.config.vocab_size

    def select(self, row, outputs, index, options):
        return softmax(outputs["logits"][index, : len(row["logits_positions"])])

    def postprocess(self, sample, options):
        (row,), (probabilities,) = sample.rows, sample.outputs
        one_mask = len(probabilities) == 1
        results = []
        for position, scores in zip(row["logits_positions"], probabilities, strict=True):
            answers = []
            for index in _likeliest(scores, options.top_k, options.targets):
                ids = list(row["input_ids"])
                ids[position] = index
                answers.append(
                    {
                        "score": float(scores[index]),
                        "token": index,
                        "token_str": self.tokenizer.decode([index]),
                        # With several masks the others must stay visible.
                        "sequence": self.tokenizer.decode(ids, skip_special_tokens=one_mask),
                    }
                )
            results.append(answers)
        return results[0] if one_mask else results


def _likeliest(scores, count, candidates=None):
    """The ids (of `candidates`, if given) with the highest scores, the highest first."""
    candidates = np.arange(len(scores)) if candidates is None else candidates
    count = min(count, len(candidates))
    best = candidates[np.argpartition(-scores[candidates], count - 1)[:count]]
    return best[np.lexsort((best, -scores[best]))].tolist()
