"""`generate` of the causal classes."""

import numpy as np
from keras import ops

from keras_roformer.arrays import to_numpy
from keras_roformer.generation.decoding import RUNNERS, Decoding
from keras_roformer.generation.generation_config import GENERATION_CONFIG_NAME, GenerationConfig
from keras_roformer.generation.request import Hooks, read_request
from keras_roformer.generation.search import follow, search_beams, transition_scores


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
        prepare = getattr(self.prepare_inputs_for_generation, "__func__", None)
        if prepare is not GenerationMixin.prepare_inputs_for_generation:
            raise NotImplementedError(
                "generate does not call prepare_inputs_for_generation, which was replaced; write a "
                "loop that does, or change the model's forward"
            )
        if inputs is not None and input_ids is not None:
            raise ValueError("generate got the prompt twice, as inputs and as input_ids")
        for name, value in (("params", params), ("prng_key", prng_key)):
            if value is not None and name not in self.generate_arguments:
                raise TypeError(f"{type(self).__name__}.generate has no argument {name!r}")
        own = logits_processor, stopping_criteria, prefix_allowed_tokens_fn, tokenizer, streamer
        request = read_request(
            self,
            prompt=(input_ids if inputs is None else inputs, attention_mask, token_type_ids),
            extras=dict(
                head_mask=head_mask,
                encoder_hidden_states=encoder_hidden_states,
                encoder_attention_mask=encoder_attention_mask,
                cross_attn_head_mask=cross_attn_head_mask,
            ),
            hooks=Hooks(self, *own),
            settings=(generation_config, parameters),
            seeds=(seed, prng_key),
        )
        return self._run_request(request, params)

    def _run_request(self, request, params):
        """Search for a request's continuations; gives them as the family does."""
        config, tokens = request.config, request.tokens
        request.hooks.start(tokens)
        with self.inference():
            decoding = Decoding(
                *self._runner(params),
                request.prompt,
                {name: ops.convert_to_tensor(x) for name, x in request.extras.items()},
                request.max_length,
                # Without a causal mask, earlier states change with each token.
                use_cache=config.use_cache and self.config.is_decoder,
            )
            search = search_beams if config.num_beams > 1 else follow
            result = search(decoding, request)
        request.hooks.end()
        prompts = np.repeat(tokens, len(result.tokens) // len(tokens), axis=0)
        return self.generated(request, np.concatenate([prompts, result.tokens], axis=1), result)

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
        return self.to_tensor(found, like=sequences)

    def _runner(self, params):
        """The runner of this model's network, and the weights that it takes."""
        variables, values = self.weights_for_run(params)
        runner_class, runner = RUNNERS[self.family], self._kept_runner
        if runner is None or runner.made_for != runner_class.identity(variables):
            runner = self._kept_runner = runner_class(self.network, variables)
        return runner, values
