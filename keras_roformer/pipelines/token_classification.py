"""token-classification: tags of tokens, or entities, with their place in the text."""

import numpy as np

from keras_roformer.arrays import softmax
from keras_roformer.entities import spans_of_tags
from keras_roformer.pipelines.pipeline_base import Pipeline, Sample, one_of, shortened, text_of
from keras_roformer.tokenizers.packing import windows

STRATEGIES = ("none", "simple", "first", "average", "max")


class TokenClassificationPipeline(Pipeline):
    """Tags of the tokens of texts, or the entities that these make.

    Call arguments:
        aggregation_strategy: "none" gives tokens; "simple" joins neighbours with one tag (B-X
            begins a new entity); "first", "average" and "max" first give all pieces of a word the
            tag of its first piece, of the mean of their probabilities, or of the surest piece.
        ignore_labels: labels that are left out, by default "O".
        stride: read long texts in parts that share this many tokens, each as long as the tokenizer
            and the model allow; where entities of two parts overlap, the longer one is kept, or the
            surer one. Needs an aggregation_strategy. By default, a text is read whole.
        is_split_into_words: an input is a list of words.
        delimiter: what stands between these words in the text that offsets refer to, by default a
            space.

    Returns:
        a list of dicts with `entity` and `index` (of the token), or `entity_group`; `score`,
        `word`, and `start` and `end`, which cut it out of the text as it was given.
    """

    task = "token-classification"
    model_class = "RoFormerForTokenClassification"
    default_model = "roformer_tiny_zh_ner"
    arguments = dict(
        aggregation_strategy="none",
        ignore_labels=("O",),
        stride=None,
        is_split_into_words=False,
        delimiter=" ",
    )
    least = dict(stride=0)

    def check(self, given):
        given = super().check(given)
        if "aggregation_strategy" in given:
            name = str(given["aggregation_strategy"]).lower()
            given["aggregation_strategy"] = one_of("aggregation_strategy", name, STRATEGIES)
        if isinstance(given.get("ignore_labels"), str):
            raise ValueError(f"ignore_labels must be a list, got {given['ignore_labels']!r}")
        return given

    def inputs_of(self, given, parts, arguments):
        inputs = super().inputs_of(given, parts, arguments)
        split = arguments.get("is_split_into_words", self._defaults["is_split_into_words"])
        if split and isinstance(inputs, (list, tuple)) and all(isinstance(x, str) for x in inputs):
            inputs = [inputs]  # as in transformers, whose result is a list of one, too
        return inputs

    def read(self, item):
        if isinstance(item, (list, tuple)):
            return [text_of(word, self.task, "words that are texts") for word in item]
        return text_of(item, self.task)

    def encode(self, items, options):
        if options.stride is not None and options.aggregation_strategy == "none":
            raise ValueError(
                "stride needs an aggregation_strategy other than 'none': tokens of two parts are "
                "not joined"
            )
        if options.is_split_into_words:
            return [self._encode_words(words, options) for words in items]
        for item in items:
            if not isinstance(item, str):
                raise ValueError(
                    f"got a list of words, {shortened(repr(item))}; set is_split_into_words=True"
                )
        encoded = self.tokenize(items, add_special_tokens=False, return_offsets_mapping=True)
        return [
            self._sample(text, ids, offsets, options)
            for text, ids, offsets in zip(
                items, encoded["input_ids"], encoded["offset_mapping"], strict=True
            )
        ]

    def _encode_words(self, words, options):
        if isinstance(words, str):
            raise ValueError(f"is_split_into_words=True takes lists of words, got {words!r}")
        ids, offsets, start = [], [], 0
        if words:
            encoded = self.tokenize(words, add_special_tokens=False, return_offsets_mapping=True)
            for number, word in enumerate(words):
                ids += encoded["input_ids"][number]
                spans = encoded["offset_mapping"][number]
                offsets += [(start + first, start + last) for first, last in spans]
                start += len(word) + len(options.delimiter)
        return self._sample(options.delimiter.join(words), ids, offsets, options)

    def _sample(self, text, ids, offsets, options):
        """The rows of a text: one, or several that share `stride` tokens."""
        size = len(ids)
        if options.stride is not None:
            limits = (self.tokenizer.model_max_length, self.model.config.max_position_embeddings)
            size = min(limits) - self.tokenizer.num_special_tokens_to_add()
        ranges = windows(len(ids), size, options.stride or 0, "right")
        parts = [(ids[first:last], offsets[first:last]) for first, last in ranges]
        rows = [
            dict(input_ids=self.tokenizer.build_inputs_with_special_tokens(part), tokens=part)
            for part, _ in parts
        ]
        return Sample(rows, about=(text, parts))

    def output_size(self, row, length):
        return length * self.model.config.num_labels

    def select(self, row, outputs, index, options):
        start = self._tokens_before()
        return softmax(outputs["logits"][index, start : start + len(row["tokens"])])

    def _tokens_before(self):
        """How many special tokens stand before a text."""
        return self.tokenizer.get_special_tokens_mask([0]).index(0)

    def postprocess(self, sample, options):
        text, parts = sample.about
        found = []
        for (ids, offsets), scores in zip(parts, sample.outputs, strict=True):
            tokens = self._tokens(text, ids, offsets, scores)
            if options.aggregation_strategy in ("first", "average", "max"):
                tokens = self._words(tokens, options.aggregation_strategy)
            labelled = [self._labelled(token) for token in tokens]
            if options.aggregation_strategy == "none":
                keys = ("entity", "score", "index", "word", "start", "end")
                found += [{key: token[key] for key in keys} for token in labelled]
            else:
                found += self._grouped(labelled)
        kept = [
            entity
            for entity in found
            if entity.get("entity", entity.get("entity_group")) not in options.ignore_labels
        ]
        return _without_overlaps(kept) if len(parts) > 1 else kept

    def _tokens(self, text, ids, offsets, scores):
        """What is known of each token; `joins` is whether it continues a word."""
        tokens = []
        names = self.tokenizer.convert_ids_to_tokens(ids)
        before = self._tokens_before()
        for i, (name, (start, end)) in enumerate(zip(names, offsets, strict=True)):
            unknown = ids[i] == self.tokenizer.unk_token_id
            tokens.append(
                {
                    "scores": scores[i],
                    "index": before + i,
                    "word": text[start:end] if unknown else name,
                    "start": start,
                    "end": end,
                    "joins": name.startswith("##"),
                }
            )
        return tokens

    def _words(self, tokens, strategy):
        """The pieces of each word as one token with one row of scores."""
        groups = []
        for token in tokens:
            if not groups or not token["joins"]:
                groups.append([])
            groups[-1].append(token)
        return [self._word(group, strategy) for group in groups]

    def _word(self, pieces, strategy):
        if strategy == "first":
            scores = pieces[0]["scores"]
        elif strategy == "max":
            scores = max((piece["scores"] for piece in pieces), key=np.max)
        else:
            scores = np.mean([piece["scores"] for piece in pieces], axis=0)
        return {
            "scores": scores,
            "word": self._string(pieces),
            "start": pieces[0]["start"],
            "end": pieces[-1]["end"],
        }

    def _string(self, tokens):
        return self.tokenizer.convert_tokens_to_string([token["word"] for token in tokens])

    def _labelled(self, token):
        best = int(token["scores"].argmax())
        label, score = self.model.config.id2label[best], float(token["scores"][best])
        return {**token, "entity": label, "score": score}

    def _grouped(self, tokens):
        """Neighbours with one tag as one entity."""
        entities = []
        for _, first, last in spans_of_tags([token["entity"] for token in tokens]):
            group = tokens[first : last + 1]
            entities.append(
                {
                    "entity_group": group[0]["entity"].split("-", 1)[-1],
                    "score": float(np.mean([token["score"] for token in group])),
                    "word": self._string(group),
                    "start": group[0]["start"],
                    "end": group[-1]["end"],
                }
            )
        return entities


def _without_overlaps(entities):
    """Of entities of several parts that overlap, the longer one, or the surer of equal ones."""
    kept = []
    for entity in sorted(entities, key=lambda entity: entity["start"]):
        if kept and kept[-1]["start"] <= entity["start"] < kept[-1]["end"]:
            kept[-1] = max(kept[-1], entity, key=lambda e: (e["end"] - e["start"], e["score"]))
        else:
            kept.append(entity)
    return kept
