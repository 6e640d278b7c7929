"""text-generation: continuations of prompts."""

import functools
import logging

from keras_roformer.arrays import to_numpy
from keras_roformer.pipelines.pipeline_base import Pipeline, Sample, without_none

logger = logging.getLogger("keras_roformer")

# As in transformers, where the model says nothing else.
GENERATION_DEFAULTS = dict(max_new_tokens=256, do_sample=True, temperature=0.7)

# What the result has: only one of these can be asked for.
RETURNS = ("return_full_text", "return_text", "return_tensors")


class TextGenerationPipeline(Pipeline):
    """Continuations of prompts; the model must be a decoder (`is_decoder=True` in its config).

    Call arguments:
        return_full_text: give prompt and continuation (the default), else the continuation.
        return_tensors: give token ids of both, in place of the text, which is `return_text`.
        prefix: text before every prompt, which the result does not have.
        add_special_tokens: put the prompt between [CLS] and [SEP]; by default as the tokenizer
            does, which is so. False continues the prompt's own last sentence.
        stop_sequence: text or texts after the first of which the continuation ends.
        skip_special_tokens: leave these out of the text (the default).
        clean_up_tokenization_spaces: for the tokenizer.
        seed: of sampling: each prompt is continued as if it stood alone, with this seed.
        generation_config: `GenerationConfig`, a dict, or transformers' object, in place of the
            pipeline's defaults.
        Others: fields of `GenerationConfig` (max_new_tokens, num_beams, top_p, …); by default
            256 new tokens are sampled with temperature 0.7.

    Returns:
        for a prompt a list of `num_return_sequences` dicts with `generated_text`, or
        `generated_token_ids`.
    """

    task = "text-generation"
    model_class = "RoFormerForCausalLM"
    arguments = dict(
        return_full_text=True,
        return_tensors=False,
        return_text=None,
        prefix="",
        add_special_tokens=True,
        stop_sequence=(),
        skip_special_tokens=True,
        clean_up_tokenization_spaces=None,
        seed=None,
        generation=None,
    )

    def __init__(self, model, *args, **kwargs):
        super().__init__(model, *args, **kwargs)
        if not model.config.is_decoder:
            logger.warning(
                "the model is no decoder: its tokens see those after them, and it writes nonsense; "
                "give one that was trained with is_decoder=True"
            )

    def check(self, given):
        wanted = [name for name in RETURNS if given.get(name) is not None]
        if given.get("return_tensors") is False:
            wanted.remove("return_tensors")
        if len(wanted) > 1:
            raise ValueError(f"only one of {' and '.join(wanted)} can be given")
        stop = given.get("stop_sequence")
        return without_none({**given, "stop_sequence": [stop] if isinstance(stop, str) else stop})

    def _checked(self, given):
        from keras_roformer.generation.generation_config import GenerationConfig

        own = {name: value for name, value in given.items() if name in self.arguments}
        rest = {name: value for name, value in given.items() if name not in self.arguments}
        # What a call leaves open, the pipeline's own defaults say, and the model's before these.
        before = getattr(self, "_defaults", {}).get("generation") or self._model_defaults()
        if rest.get("generation_config") is not None:
            before = GenerationConfig.changes(rest["generation_config"])
        rest.pop("generation_config", None)
        if rest.get("max_length") is not None:
            before = {name: value for name, value in before.items() if name != "max_new_tokens"}
        if rest.get("do_sample") is False:
            before = {name: value for name, value in before.items() if name != "temperature"}
        generation = {**before, **without_none(rest)}
        self.model.generation_config.with_changes(generation).check(self.model.config.vocab_size)
        return {**super()._checked(own), "generation": generation}

    def _model_defaults(self):
        """`GENERATION_DEFAULTS`, where the model's own settings say nothing."""
        said = self.model.generation_config.to_diff_dict()
        return {name: value for name, value in GENERATION_DEFAULTS.items() if name not in said}

    def encode(self, items, options):
        prompts = [options.prefix + text for text in items]
        encoded = self.tokenize(prompts, add_special_tokens=options.add_special_tokens)
        return [
            Sample([dict(input_ids=ids)], about=text)
            for text, ids in zip(items, encoded["input_ids"], strict=True)
        ]

    def kind(self, row, options):
        # A total length leaves each row room for another number of tokens.
        return (len(row["input_ids"]),) if "max_length" in options.generation else ()

    def _batches(self, samples, size, options):
        alone = options.seed is not None and options.generation.get("do_sample")
        return super()._batches(samples, 1 if alone else size, options)

    def _padded(self, length):
        return max(length, 1)  # `generate` keeps to a few shapes itself

    def _predict(self, rows, options):
        if not all(row["input_ids"] for row in rows):
            raise ValueError("an empty prompt with add_special_tokens=False has nothing to go on")
        batch = self._arrays(rows)
        seed = options.seed
        if seed is None and self.model.default_seed is not None:  # the same in every call
            seed = self.model.draw_seed()
        sequences = self.model.generate(**batch, seed=seed, **options.generation)
        sequences = to_numpy(getattr(sequences, "sequences", sequences))
        new = sequences[:, batch["input_ids"].shape[1] :]
        return {"new": new.reshape(len(rows), -1, new.shape[1])}

    def select(self, row, outputs, index, options):
        return [self._until_end(tokens.tolist(), options) for tokens in outputs["new"][index]]

    def _until_end(self, tokens, options):
        """New tokens up to the end of the sequence: what comes after it is padding."""
        settings = self.model.generation_config.with_changes(options.generation)
        ends = [tokens.index(end) + 1 for end in settings.eos_token_ids() if end in tokens]
        return tokens[: min(ends, default=len(tokens))]

    def postprocess(self, sample, options):
        (row,), (continuations,) = sample.rows, sample.outputs
        if options.return_tensors:
            return [{"generated_token_ids": row["input_ids"] + new} for new in continuations]
        before = sample.about if options.return_full_text else ""
        texts = self._texts(row["input_ids"], continuations, options)
        return [{"generated_text": before + text} for text in texts]

    def _texts(self, prompt, continuations, options):
        # Decoded after the prompt, whose last word decides on a space or goes on.
        decode = functools.partial(
            self.tokenizer.decode,
            skip_special_tokens=options.skip_special_tokens,
            clean_up_tokenization_spaces=options.clean_up_tokenization_spaces,
        )
        start = len(decode(prompt))
        for new in continuations:
            text = decode(prompt + new)[start:]
            stops = [text.find(stop) + len(stop) for stop in options.stop_sequence if stop in text]
            yield text[: min(stops, default=len(text))]
