"""`generate` of the causal classes."""

import dataclasses
import functools
import time

import keras
import numpy as np
from keras import ops

from keras_roformer.generation.decoding import RUNNERS, Decoding, Prompt
from keras_roformer.generation.generation_config import (
    GENERATION_CONFIG_NAME,
    GenerationConfig,
    to_numpy,
)
from keras_roformer.generation.generation_outputs import OUTPUTS
from keras_roformer.generation.processors import NO_TOKEN, make_processors
from keras_roformer.generation.search import follow, search_beams, transition_scores
from keras_roformer.limits import check_memory


class GenerationMixin:
    """Gives a causal class `generate`."""

    _generation_config = None
    _kept_runner = None

    @property
    def generation_config(self):
        """The model's own `GenerationConfig`: what the checkpoint's generation_config.json says,
        without one what its config says."""
        if self._generation_config is None:
            self._generation_config = GenerationConfig.from_model_config(self.config)
        return self._generation_config

    @generation_config.setter
    def generation_config(self, value):
        self._generation_config = GenerationConfig().with_changes(value)

    def can_generate(self):
        """Whether the class has `generate`."""
        return True

    def _read_more(self, directory):
        if (file := directory / GENERATION_CONFIG_NAME).is_file():
            self._generation_config = GenerationConfig.from_pretrained(file)

    def _more_files(self):
        return {GENERATION_CONFIG_NAME: self.generation_config.to_json_string()}

    def generate(
        self,
        inputs=None,
        generation_config=None,
        *,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        head_mask=None,
        encoder_hidden_states=None,
        encoder_attention_mask=None,
        cross_attn_head_mask=None,
        logits_processor=None,
        stopping_criteria=None,
        prefix_allowed_tokens_fn=None,
        tokenizer=None,
        streamer=None,
        seed=None,
        params=None,
        prng_key=None,
        trace=True,
        **parameters,
    ):
        """Continue prompts, as transformers 4.57's `generate` does.

        Prompts may be padded on either side. Padding on the left counts as positions and as
        tokens of the penalties, as in transformers. After padding on the right (which transformers
        takes for a part of the text) a row goes on after its last real token, as the row alone
        would; its new tokens stand in the columns after the padding nonetheless.

        Args:
            inputs, input_ids: (B, L) token ids; by default one row with `bos_token_id`.
            generation_config: `GenerationConfig`, a dict, or transformers' object; what it leaves
                at the defaults comes from `model.generation_config`.
            attention_mask: (B, L), 1 for real tokens; by default, all tokens but padding.
            token_type_ids: (B, L); new tokens have the type of the last one.
            head_mask, encoder_hidden_states, encoder_attention_mask, cross_attn_head_mask: see the
                documented class.
            logits_processor: functions (tokens, scores) → scores, which change the (rows, V)
                scores of the next token.
            stopping_criteria: functions (tokens, scores) → which rows end after the last token,
                (rows,) or one for all; beams' rows are their candidates.
            prefix_allowed_tokens_fn: function (number of a prompt, its tokens so far) → the tokens
                that may come next.
            tokenizer: whose `decode` gives the text in which `stop_strings` are looked for.
            streamer: object whose `put` gets the prompt and then each step's tokens, and whose
                `end` is called last; or a function of each step's tokens.
            seed: of sampling, an int or several; by default drawn from the framework's global
                generator. The same seed and logits give the same tokens on every backend.
            params, prng_key: Flax only: parameters to use, key in place of a seed.
            trace: Flax only, without effect.
            parameters: fields of `GenerationConfig`, which go before those of `generation_config`.

        Returns:
            (B * num_return_sequences, length) tensor of prompts and continuations, padded with
            `pad_token_id`; an output object that has it as `sequences` with
            `return_dict_in_generate`, and always for Flax, where the length is `max_length`.

        Raises:
            TypeError: unknown argument.
            ValueError: a value that makes no sense; no room after the prompt.
        """
        own = getattr(self.prepare_inputs_for_generation, "__func__", None)
        if own is not GenerationMixin.prepare_inputs_for_generation:
            raise NotImplementedError(
                "generate does not call prepare_inputs_for_generation, which was replaced; write a "
                "loop that does, or change the model's forward"
            )
        if inputs is not None and input_ids is not None:
            raise ValueError("generate got the prompt twice, as inputs and as input_ids")
        inputs = input_ids if inputs is None else inputs
        is_flax = self.family == "Flax"
        for name, value in (("params", params), ("prng_key", prng_key)):
            if value is not None and not is_flax:
                raise TypeError(f"{type(self).__name__}.generate has no argument {name!r}")
        config = self.generation_config
        if generation_config is not None:
            config = config.with_changes(generation_config)
        config = config.with_changes(parameters)
        config.check(self.config.vocab_size)
        config.warn_of_unused()
        if streamer is not None and config.num_beams > 1:
            raise ValueError("a streamer needs num_beams=1: beam search ends before it knows")

        tokens, mask, types = self._prompt_arrays(inputs, attention_mask, token_type_ids, config)
        batch, length = tokens.shape
        self._check_prompt(tokens, mask, types, encoder_hidden_states, encoder_attention_mask)
        max_length = self._max_length(batch, length, config, parameters)
        if config.pad_token_id is None and config.eos_token_ids():
            config = dataclasses.replace(config, pad_token_id=config.eos_token_ids()[0])

        custom = [functools.partial(self._process, f) for f in logits_processor or ()]
        allowed = prefix_allowed_tokens_fn and functools.partial(
            self._allowed, prefix_allowed_tokens_fn
        )
        prompt = Prompt.make(tokens, mask, types)
        processors = make_processors(config, prompt.history, max_length, allowed, custom)
        stops = [functools.partial(self._process, f) for f in stopping_criteria or ()]
        stops += make_stops(config, tokenizer)
        rng = np.random.default_rng(self._seed(seed, prng_key) if config.do_sample else 0)
        if streamer is not None and hasattr(streamer, "put"):
            streamer.put(self._tensor(tokens))

        extras = dict(
            head_mask=head_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            cross_attn_head_mask=cross_attn_head_mask,
        )
        with self._backend.inference(self):
            decoding = Decoding(
                *self._runner(params),
                prompt,
                {name: ops.convert_to_tensor(x) for name, x in extras.items() if x is not None},
                max_length,
                # Without a causal mask, earlier states change with each token.
                use_cache=config.use_cache and self.config.is_decoder,
            )
            arguments = (decoding, config, processors, max_length - length, rng)
            if config.num_beams > 1:
                result = search_beams(*arguments, stops=stops)
            else:
                result = follow(*arguments, emit=self._emitter(streamer), stops=stops)
        if streamer is not None and hasattr(streamer, "end"):
            streamer.end()

        rows = len(result.tokens) // batch
        sequences = np.concatenate([np.repeat(tokens, rows, axis=0), result.tokens], axis=1)
        if is_flax:
            missing = max_length - sequences.shape[1]
            fill = 0 if config.pad_token_id is None else config.pad_token_id
            sequences = np.pad(sequences, ((0, 0), (0, missing)), constant_values=fill)
        sequences = self._tensor(sequences, like=inputs)
        if not (is_flax or config.return_dict_in_generate):
            return sequences
        return self._generated(config, sequences, result)

    def prepare_inputs_for_generation(
        self, input_ids, past_key_values=None, attention_mask=None, **kwargs
    ):
        """The arguments of the call that reads on, for a loop of one's own: the tokens that are not
        in the cache. `generate` works otherwise.

        Args:
            input_ids: (B, L) tokens so far.
            past_key_values: what the last call gave, if there was one.
            attention_mask: (B, L).
            kwargs: further arguments of the call.
        """
        if past_key_values is not None:
            is_object = hasattr(past_key_values, "get_seq_length")
            first = None if is_object else past_key_values[0][0]  # (B, N, S, H)
            known = past_key_values.get_seq_length() if is_object else first.shape[2]
            input_ids = input_ids[:, known:]
        given = dict(past_key_values=past_key_values, attention_mask=attention_mask, **kwargs)
        return {"input_ids": input_ids, **{k: v for k, v in given.items() if v is not None}}

    def compute_transition_scores(
        self, sequences, scores, beam_indices=None, normalize_logits=False
    ):
        """The score of each new token, from what `generate` gave.

        Args:
            sequences, scores, beam_indices: of the output, with `output_scores`; `beam_indices` of
                beam search.
            normalize_logits: make log-probabilities of the scores.

        Returns:
            (rows, steps) tensor; 0 after the end of a beam.
        """
        beams = None if beam_indices is None else to_numpy(beam_indices)
        arrays = [to_numpy(x) for x in scores]
        found = transition_scores(to_numpy(sequences), arrays, beams, normalize_logits)
        return self._tensor(found, like=sequences)

    def _prompt_arrays(self, inputs, attention_mask, token_type_ids, config):
        """Prompt, mask and token types as arrays."""
        if inputs is None:
            if config.bos_token_id is None:
                raise ValueError(
                    "generate needs a prompt: pass input_ids, or bos_token_id to start with"
                )
            inputs = np.array([[config.bos_token_id]])
        tokens = to_numpy(inputs).astype("int32")
        if tokens.ndim != 2 or not tokens.size:
            raise ValueError(
                f"input_ids must have shape (batch, length) and a token, got shape {tokens.shape}"
            )
        if attention_mask is None:
            mask = np.ones_like(tokens)
            pad = config.pad_token_id
            if pad is not None and pad not in config.eos_token_ids():
                mask = (tokens != pad).astype("int32")
        else:
            mask = to_numpy(attention_mask).astype("int32")
        types = None if token_type_ids is None else to_numpy(token_type_ids).astype("int32")
        for name, value in (("attention_mask", mask), ("token_type_ids", types)):
            if value is not None and value.shape != tokens.shape:
                raise ValueError(
                    f"{name} must have the shape of input_ids, {tokens.shape}, got {value.shape}"
                )
        return tokens, mask, types

    def _check_prompt(self, tokens, mask, types, states, states_mask):
        """Check a prompt as the arguments of a call."""
        prompt = dict(
            input_ids=tokens,
            attention_mask=mask,
            token_type_ids=types,
            encoder_hidden_states=states,
            encoder_attention_mask=states_mask,
        )
        self._checker().check_inputs({k: v for k, v in prompt.items() if v is not None})

    def _max_length(self, batch, length, config, parameters):
        """Columns of prompt and continuation at most."""
        if config.max_new_tokens is not None:
            max_length = length + config.max_new_tokens
        else:
            max_length = config.max_length
            if parameters.get("max_length") is None and max_length == GenerationConfig.max_length:
                max_length = min(length + max_length, self.config.max_position_embeddings)
        if max_length <= length:
            raise ValueError(
                f"the prompt has {length} columns, and max_length is {max_length}: there is no "
                "room for a new token; increase max_new_tokens or max_length"
            )
        model = self.config
        rows = batch * max(config.num_beams, config.num_return_sequences)
        check_memory(
            8 * rows * max_length * model.num_hidden_layers * model.hidden_size,
            f"a cache for {rows} rows of {max_length} tokens",
            "decrease max_new_tokens or max_length",
        )
        return max_length

    def _runner(self, params):
        """The runner of this model's network, and the weights that it takes."""
        variables, values = self._backend.weights_of(self, params)
        runner = self._kept_runner
        if runner is None or runner.made_for != self._backend.identity(variables):
            runner = self._kept_runner = self._backend(self.network, variables)
        return runner, values

    @property
    def _backend(self):
        return RUNNERS[keras.config.backend()]

    def _seed(self, seed, prng_key):
        if prng_key is not None:
            import jax

            if jax.dtypes.issubdtype(prng_key.dtype, jax.dtypes.prng_key):
                prng_key = jax.random.key_data(prng_key)
            return [int(word) for word in np.asarray(prng_key)]
        if seed is not None:
            seeds = [int(x) for x in np.ravel(to_numpy(seed))]
            if min(seeds, default=-1) < 0:
                raise ValueError(f"seed must be an integer of at least 0, or several, got {seed!r}")
            return seeds
        return self._backend.draw_seed()

    def _process(self, function, tokens, scores):
        """Call a processor of the user's with tensors."""
        return to_numpy(function(self._tensor(self._shown(tokens)), self._tensor(scores)))

    def _allowed(self, function, number, tokens):
        """What a function of the user's allows after (length,) tokens."""
        return to_numpy(function(number, self._tensor(self._shown(tokens))))

    def _shown(self, tokens):
        """Tokens with the padding that was moved out of a prompt as padding again."""
        return np.where(tokens == NO_TOKEN, self.config.pad_token_id or 0, tokens)

    def _emitter(self, streamer):
        put = getattr(streamer, "put", streamer)
        return (lambda tokens: None) if put is None else lambda tokens: put(self._tensor(tokens))

    def _tensor(self, array, like=None):
        return self._backend.tensor(array, like)

    def _generated(self, config, sequences, result):
        cls = OUTPUTS[self.family, config.num_beams > 1, config.do_sample]
        values = dict(sequences=sequences)
        if self.family == "Flax":
            if config.num_beams > 1:
                values["scores"] = self._tensor(result.sequence_scores, like=sequences)
            return cls(**values)
        if config.output_scores:
            values["scores"] = tuple(self._tensor(x, like=sequences) for x in result.scores)
        if config.output_logits:
            values["logits"] = tuple(self._tensor(x, like=sequences) for x in result.logits)
        if config.num_beams > 1:
            values["beam_indices"] = self._tensor(result.beam_indices, like=sequences)
            if config.output_scores:
                values["sequences_scores"] = self._tensor(result.sequence_scores, like=sequences)
        return cls(**values)


def make_stops(config, tokenizer):
    """The functions (tokens, scores) → which rows end, of a `GenerationConfig`.

    Raises:
        ValueError: stop strings without a tokenizer.
    """
    stops = []
    if config.max_time is not None:
        latest = time.monotonic() + config.max_time
        stops.append(lambda tokens, scores: time.monotonic() > latest)
    if config.stop_strings:
        if tokenizer is None:
            raise ValueError("stop_strings need the tokenizer: generate(…, tokenizer=tokenizer)")
        strings = config.stop_strings
        strings = [strings] if isinstance(strings, str) else list(strings)
        stops.append(functools.partial(_end_at_strings, strings, tokenizer))
    return stops


def _end_at_strings(strings, tokenizer, tokens, scores):
    """Which rows have a string that the last token has a part of."""
    longest = max(map(len, strings))
    ends = []
    for row in tokens:
        row = [int(token) for token in row if token != NO_TOKEN][-longest - 1 :]
        text, before = tokenizer.decode(row), tokenizer.decode(row[:-1])
        ends.append(any(s in text[max(0, len(before) - len(s) + 1) :] for s in strings))
    return np.array(ends)
