"""Records what transformers 4.57.6 computes, for the parity tests.

How to run it, and in which environment: README.md beside this file. A case is one configuration
with one set of random weights; a call is one set of arguments. Every call is run by the PyTorch,
the TensorFlow and the Flax class of the same name. What a class cannot do is recorded as the error
it raised. `cases.py` reads the files back.
"""

import os

os.environ["TF_USE_LEGACY_KERAS"] = "1"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import argparse
import contextlib
import copy
import functools
import inspect
import json
import shutil
import tempfile
import zlib
from pathlib import Path

import jax
import numpy as np
import tensorflow as tf
import torch
import transformers
import transformers.activations_tf
import transformers.modeling_flax_utils
from transformers.cache_utils import EncoderDecoderCache

HERE = Path(__file__).parent
TRANSFORMERS_VERSION = "4.57.6"
FAMILIES = {"torch": "", "tf": "TF", "flax": "Flax"}
LABELS = ("labels", "start_positions", "end_positions")
BATCH, LENGTH, CHOICES, ENCODER_LENGTH = 3, 7, 2, 5

# ---------------------------------------------------------------- configurations

SMALL = dict(
    vocab_size=61,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=4,
    intermediate_size=28,
    max_position_embeddings=32,
    hidden_act="gelu",
)
VARIANTS = {
    "plain": SMALL,
    "projected": SMALL
    | dict(
        embedding_size=12,
        hidden_size=24,
        num_attention_heads=3,
        num_hidden_layers=3,
        hidden_act="relu",
    ),
    "rotary_value": SMALL | dict(rotary_value=True, hidden_act="gelu_new", layer_norm_eps=1e-5),
    "selu": SMALL | dict(hidden_act="selu", num_attention_heads=2, type_vocab_size=3),
}
DECODER = SMALL | dict(is_decoder=True)
CROSS = VARIANTS["projected"] | dict(is_decoder=True, add_cross_attention=True, num_hidden_layers=2)
ROTARY_DECODER = DECODER | dict(rotary_value=True)
THREE_LABELS = dict(id2label={"0": "LABEL_0", "1": "LABEL_1", "2": "LABEL_2"})

# The document names selu; no framework of transformers knows it by that name.
transformers.activations.ACT2FN["selu"] = torch.nn.SELU
transformers.activations_tf.ACT2FN["selu"] = tf.nn.selu
transformers.modeling_flax_utils.ACT2FN["selu"] = jax.nn.selu

# ---------------------------------------------------------------- calls
# argument=value; a string names an array of `draw_inputs`, "past:NAME" the cache that call NAME
# returned, anything else is passed as it is.

PADDED = dict(input_ids="ids", attention_mask="mask")
DETAILS = dict(output_attentions=True, output_hidden_states=True)
EVERYTHING = PADDED | dict(token_type_ids="types", head_mask="layer_head_mask") | DETAILS
BASIC = {
    "ids": dict(input_ids="ids"),
    "mask": PADDED,
    "details": PADDED | dict(token_type_ids="types") | DETAILS,
    "everything": EVERYTHING,
}
DETAILED = {name: BASIC[name] for name in ("details", "everything")}
ARGUMENTS = BASIC | {
    "mask_3d": dict(input_ids="ids", attention_mask="mask_3d"),
    "head_mask": PADDED | dict(head_mask="head_mask"),
    "layer_head_mask": PADDED | dict(head_mask="layer_head_mask"),
    "embeds": dict(inputs_embeds="embeds", attention_mask="mask"),
    "embeds_everything": dict(
        inputs_embeds="embeds", attention_mask="mask_3d", token_type_ids="types"
    )
    | dict(head_mask="head_mask")
    | DETAILS,
}
TOKEN_LOSS = {"loss": PADDED | dict(labels="token_labels")}
LM_LOSS = {"loss": PADDED | dict(token_type_ids="types", labels="lm_labels")}
CLASS_LOSS = {"loss": PADDED | dict(labels="class_labels")}
CHOICE_LOSS = {"loss": PADDED | dict(token_type_ids="types", labels="choice_labels")}
SPAN_LOSS = {
    "loss": PADDED | dict(start_positions="starts", end_positions="ends"),
    "loss_outside": PADDED | dict(start_positions="starts_outside", end_positions="ends_outside"),
}
HEADS = {
    "ForMaskedLM": LM_LOSS,
    "ForCausalLM": LM_LOSS,
    "ForSequenceClassification": CLASS_LOSS,
    "ForMultipleChoice": CHOICE_LOSS,
    "ForTokenClassification": TOKEN_LOSS,
    "ForQuestionAnswering": SPAN_LOSS,
}
CROSSED = PADDED | dict(
    encoder_hidden_states="encoder_states", encoder_attention_mask="encoder_mask"
)
STEPS = {
    "uncached": dict(input_ids="ids", use_cache=False),
    "first_four": dict(input_ids="ids_first_four", use_cache=True),
    "fifth": dict(input_ids="ids_fifth", past_key_values="past:first_four", use_cache=True),
    "last_two": dict(input_ids="ids_last_two", past_key_values="past:fifth", use_cache=True),
    "rest_masked": dict(
        input_ids="ids_after_four",
        attention_mask="left_mask",
        past_key_values="past:first_four",
        use_cache=True,
    ),
    "left_padded": dict(input_ids="left_ids", attention_mask="left_mask", use_cache=False),
}
CROSS_CALLS = {
    "no_encoder": PADDED | dict(use_cache=False),
    "encoder": CROSSED | dict(use_cache=False),
    "encoder_unmasked": PADDED | dict(encoder_hidden_states="encoder_states", use_cache=False),
    "encoder_mask_3d": PADDED
    | dict(
        encoder_hidden_states="encoder_states",
        encoder_attention_mask="encoder_mask_3d",
        use_cache=False,
    ),
    "everything": CROSSED | dict(token_type_ids="types", use_cache=True) | DETAILS,
    "head_mask": CROSSED
    | dict(head_mask="layer_head_mask", use_cache=False, output_attentions=True),
    "first_four": dict(
        input_ids="ids_first_four",
        encoder_hidden_states="encoder_states",
        encoder_attention_mask="encoder_mask",
    ),
    "fifth": dict(
        input_ids="ids_fifth",
        encoder_hidden_states="encoder_states",
        encoder_attention_mask="encoder_mask",
        past_key_values="past:first_four",
    ),
}
NEW = dict(max_new_tokens=12, do_sample=False, pad_token_id=0)
LEFT = dict(input_ids="prompt_left", attention_mask="prompt_left_mask")
GENERATE = {
    "greedy": dict(input_ids="prompt") | NEW,
    "greedy_eos": dict(input_ids="prompt", eos_token_id=7) | NEW,
    "greedy_left_padded": LEFT | NEW,
    "greedy_left_padded_eos": LEFT | NEW | dict(eos_token_id=[7, 9]),
    "greedy_right_padded": dict(input_ids="prompt_right", attention_mask="prompt_right_mask") | NEW,
    "greedy_repetition_penalty": LEFT | NEW | dict(repetition_penalty=1.7),
    "greedy_no_repeat_ngram": LEFT | NEW | dict(no_repeat_ngram_size=2),
    "greedy_min_new_tokens": LEFT | NEW | dict(eos_token_id=7, min_new_tokens=6),
    "greedy_max_length": LEFT | dict(do_sample=False, pad_token_id=0, max_length=9),
    "greedy_uncached": LEFT | NEW | dict(use_cache=False),
    "beam": dict(input_ids="prompt", num_beams=3) | NEW,
    "beam_left_padded_eos": LEFT | NEW | dict(num_beams=3, eos_token_id=7),
    "beam_early_stopping": LEFT | NEW | dict(num_beams=4, eos_token_id=7, early_stopping=True),
    "beam_length_penalty": LEFT | NEW | dict(num_beams=3, eos_token_id=7, length_penalty=-1.0),
    "beam_return_all": LEFT | NEW | dict(num_beams=3, num_return_sequences=3, eos_token_id=7),
    "beam_penalties": LEFT
    | NEW
    | dict(num_beams=3, repetition_penalty=1.3, no_repeat_ngram_size=2),
}


def cases() -> dict:
    """name -> dict(task, config, calls, generate)."""
    table = {}

    def add(name, task, config, calls, generate=None):
        table[name] = dict(task=task, config=config, calls=calls, generate=generate or {})

    for variant, config in VARIANTS.items():
        add(f"model-{variant}", "Model", config, ARGUMENTS)
        for task, losses in HEADS.items():
            labels = (
                THREE_LABELS
                if task in ("ForSequenceClassification", "ForTokenClassification")
                else {}
            )
            calls = (ARGUMENTS if variant == "plain" else DETAILED) | losses
            add(f"{task[3:].lower()}-{variant}", task, config | labels, calls)
    add("model-decoder", "Model", DECODER, BASIC | STEPS)
    add("model-decoder_rotary_value", "Model", ROTARY_DECODER, STEPS)
    add("model-cross", "Model", CROSS, CROSS_CALLS)
    add("causallm-decoder", "ForCausalLM", DECODER, BASIC | LM_LOSS | STEPS, GENERATE)
    add("causallm-decoder_rotary_value", "ForCausalLM", ROTARY_DECODER, STEPS | LM_LOSS, GENERATE)
    add(
        "causallm-decoder_projected",
        "ForCausalLM",
        VARIANTS["projected"] | dict(is_decoder=True),
        STEPS,
        GENERATE,
    )
    cross_loss = {"loss": CROSSED | dict(labels="lm_labels", use_cache=False)}
    cross_heads = {
        # transformers accepts and ignores it; obey_cross_attn_head_mask gives what is documented
        "cross_attn_head_mask": CROSSED
        | dict(cross_attn_head_mask="layer_head_mask", use_cache=False, output_attentions=True)
    }
    add("causallm-cross", "ForCausalLM", CROSS, CROSS_CALLS | cross_loss | cross_heads)
    sequence = "ForSequenceClassification"
    add(
        "sequenceclassification-one_label",
        sequence,
        SMALL | dict(id2label={"0": "LABEL_0"}),
        {
            "loss": PADDED | dict(labels="scores"),
            "loss_column": PADDED | dict(labels="score_column"),
        },
    )
    add(
        "sequenceclassification-regression",
        sequence,
        SMALL | THREE_LABELS | dict(problem_type="regression"),
        {"loss": PADDED | dict(labels="score_matrix")},
    )
    for name, problem in (
        ("multi_label", "multi_label_classification"),
        ("multi_label_by_dtype", None),
    ):
        add(
            f"sequenceclassification-{name}",
            sequence,
            SMALL | THREE_LABELS | dict(problem_type=problem),
            {"loss": PADDED | dict(labels="label_matrix")},
        )
    for summary in ("first", "mean", "cls_index"):
        add(
            f"multiplechoice-{summary}",
            "ForMultipleChoice",
            SMALL | dict(summary_type=summary),
            CHOICE_LOSS,
        )
    projection = dict(
        summary_use_proj=True, summary_activation="tanh", summary_proj_to_labels=False
    )
    add("multiplechoice-projection", "ForMultipleChoice", SMALL | projection, CHOICE_LOSS)
    return table


# ---------------------------------------------------------------- random inputs and weights


def draw_inputs(rng, config, task) -> dict:
    """Arrays that calls refer to by name. Token 0 is padding and stands nowhere else."""
    vocab, embedding = config.vocab_size, config.embedding_size
    rows = BATCH * CHOICES if task == "ForMultipleChoice" else BATCH
    lengths = np.resize([LENGTH, LENGTH - 2, LENGTH - 4], rows)
    mask = (np.arange(LENGTH) < lengths[:, None]).astype("int64")
    full = rng.integers(5, vocab, (rows, LENGTH))
    ids = full * mask
    mask_3d = (rng.random((rows, LENGTH, LENGTH)) < 0.6) | np.eye(LENGTH, dtype=bool)
    lm_labels = np.where(
        (rng.random(ids.shape) < 0.6) & (mask == 1), rng.integers(5, vocab, ids.shape), -100
    )
    lm_labels[:, 1] = rng.integers(5, vocab, rows)  # at least one label in each row
    token_labels = np.where(mask == 1, rng.integers(0, 3, ids.shape), -100)
    layers, heads = config.num_hidden_layers, config.num_attention_heads
    layer_head_mask = np.ones((layers, heads))
    layer_head_mask[0, 0] = layer_head_mask[-1, -1] = 0
    encoder_lengths = np.array([ENCODER_LENGTH, ENCODER_LENGTH - 1, ENCODER_LENGTH - 3])
    encoder_mask = (np.arange(ENCODER_LENGTH) < encoder_lengths[:, None]).astype("int64")
    encoder_mask_3d = (rng.random((rows, LENGTH, ENCODER_LENGTH)) < 0.6).astype("int64")
    encoder_mask_3d[..., 0] = 1
    prompt = rng.integers(10, vocab, (BATCH, 4))
    left = np.array([[1, 1, 1, 1], [0, 1, 1, 1], [0, 0, 1, 1]])
    inputs = dict(
        ids=ids,
        mask=mask,
        mask_3d=(mask_3d & (mask[:, None] == 1) | np.eye(LENGTH, dtype=bool)).astype("int64"),
        types=rng.integers(0, config.type_vocab_size, ids.shape),
        head_mask=np.resize([0.5, 1.0, 0.0], heads),
        layer_head_mask=layer_head_mask,
        embeds=rng.normal(size=(rows, LENGTH, embedding)),
        ids_first_four=full[:, :4],
        ids_fifth=full[:, 4:5],
        ids_last_two=full[:, 5:],
        ids_after_four=full[:, 4:],
        left_ids=full * mask[:, ::-1],
        left_mask=mask[:, ::-1],
        encoder_states=rng.normal(size=(rows, ENCODER_LENGTH, config.hidden_size)),
        encoder_mask=encoder_mask,
        encoder_mask_3d=encoder_mask_3d,
        lm_labels=lm_labels,
        token_labels=token_labels,
        class_labels=rng.integers(0, 3, BATCH),
        choice_labels=rng.integers(0, CHOICES, BATCH),
        starts=np.array([1, 0, 2]),
        ends=np.array([6, 3, 2]),
        starts_outside=np.array([LENGTH + 20, 1, 0]),
        ends_outside=np.array([-4, LENGTH, 1]),
        scores=rng.normal(size=BATCH),
        score_column=rng.normal(size=(BATCH, 1)),
        score_matrix=rng.normal(size=(BATCH, 3)),
        label_matrix=rng.integers(0, 2, (BATCH, 3)).astype(float),
        prompt=prompt,
        prompt_left=prompt * left,
        prompt_left_mask=left,
        prompt_right=prompt * left[:, ::-1],
        prompt_right_mask=left[:, ::-1],
    )
    if task == "ForMultipleChoice":
        shaped = ("ids", "mask", "types", "embeds")
        inputs |= {k: inputs[k].reshape(BATCH, CHOICES, *inputs[k].shape[1:]) for k in shaped}
        del inputs["mask_3d"]  # has no meaning with choices
    return {
        k: v.astype("float16").astype("float32") if v.dtype.kind == "f" else np.ascontiguousarray(v)
        for k, v in inputs.items()
    }


def draw_weights(rng, model) -> dict:
    """New values for every parameter, as float16 can hold them, under transformers' torch names."""
    weights = {}
    for name, parameter in model.named_parameters():
        if "embed_positions" in name:
            continue
        values = rng.normal(scale=0.3, size=tuple(parameter.shape))
        if name.endswith("LayerNorm.weight"):
            values += 1
        weights[name] = values.astype("float16")
    return weights


# ---------------------------------------------------------------- running


def model_class(family, task):
    return getattr(transformers, f"{FAMILIES[family]}RoFormer{task}")


def build_torch(task, config, weights):
    model = model_class("torch", task)(config)
    state = {k: torch.from_numpy(v.astype("float32")) for k, v in weights.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected, unexpected
    assert all("embed_positions" in k or "decoder" in k for k in missing), missing
    return model.eval()


def flatten(prefix, value) -> dict:
    """Nested tuples and caches as flat names: hidden_states.0, past_key_values.1.0."""
    if isinstance(value, EncoderDecoderCache):
        value = value.to_legacy_cache()
    if isinstance(value, (tuple, list)):  # None: no cross-attention has filled that part of a cache
        parts = [flatten(f"{prefix}.{i}", v) for i, v in enumerate(value) if v is not None]
        return {k: v for part in parts for k, v in part.items()}
    array = value.detach().numpy() if isinstance(value, torch.Tensor) else np.asarray(value)
    return {prefix: array}


def nest(flat, prefix):
    """The legacy cache (layer -> key, value[, cross key, cross value]) out of flat names."""
    layers = {}
    for name, array in flat.items():
        if name.startswith(prefix + "."):
            layer, part = map(int, name[len(prefix) + 1 :].split("."))
            layers.setdefault(layer, {})[part] = torch.from_numpy(array)
    return tuple(tuple(parts[i] for i in sorted(parts)) for _, parts in sorted(layers.items()))


TO_TENSOR = {"torch": torch.from_numpy, "tf": tf.constant, "flax": np.asarray}


def arguments_for(family, spec, inputs, recorded):
    arguments = {}
    for name, value in spec.items():
        if isinstance(value, str) and value.startswith("past:"):
            arguments[name] = nest(recorded[value[5:]], "past_key_values")
        else:
            arguments[name] = TO_TENSOR[family](inputs[value]) if isinstance(value, str) else value
    return arguments


def run(family, model, spec, inputs, recorded):
    """(flat outputs, gradients by name) of one call."""
    if family == "flax":  # no Flax class computes a loss
        spec = {k: v for k, v in spec.items() if k not in LABELS}
    arguments = arguments_for(family, spec, inputs, recorded)
    gradients = {}
    if family == "torch" and any(name in spec for name in LABELS):
        model.zero_grad()
        outputs = model(**arguments)
        outputs.loss.backward()
        gradients = {n: p.grad.numpy() for n, p in model.named_parameters() if p.grad is not None}
    elif family == "torch":
        with torch.no_grad():
            outputs = model(**arguments)
    else:
        if family == "tf":
            unknown = set(arguments) - set(inspect.signature(model.call).parameters)
            if unknown:  # its own decorator would drop some silently
                raise TypeError(f"call() has no argument {', '.join(sorted(unknown))}")
            arguments.setdefault("input_ids", None)  # Keras wants the first argument
        outputs = model(**arguments)
    flat = {}
    for name, value in outputs.items():
        flat |= flatten(name, value)
    for name, array in flat.items():
        if not np.isfinite(array).all():
            raise ValueError(f"{name} is not finite")
    return flat, gradients


@contextlib.contextmanager
def obey_cross_attn_head_mask(model, head_mask):
    """Hands `head_mask` (layers, heads) to the cross-attention of each layer, as documented."""
    modules = [layer.crossattention for layer in model.roformer.encoder.layer]
    for module, mask in zip(modules, head_mask, strict=True):
        forward = functools.partial(
            module.forward, head_mask=torch.from_numpy(mask)[None, :, None, None]
        )
        module.forward = lambda *a, forward=forward, **k: forward(*a, **(k | forward.keywords))
    yield
    for module in modules:
        del module.forward


def generate(model, arguments):
    """Tokens that rounding does not decide: the same in float32 and float64."""
    tokens = model.generate(**arguments)
    exact = copy.deepcopy(model).double().generate(**arguments)
    assert torch.equal(tokens, exact), (tokens, exact)
    return tokens.numpy()


def record(name, case, folder) -> dict:
    """Runs one case in all families, writes NAME.npz, returns a summary of errors."""
    task = case["task"]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    config = transformers.RoFormerConfig(**case["config"])
    torch.manual_seed(0)
    weights = draw_weights(rng, model_class("torch", task)(config))
    inputs = draw_inputs(rng, config, task)
    arrays = {f"weights/{k}": v for k, v in weights.items()}
    meta = dict(task=task, config=case["config"], calls={}, transformers=transformers.__version__)
    used, recorded = set(), {}

    def note(call, spec, family, flat, gradients=(), error=None):
        entry = meta["calls"].setdefault(call, dict(arguments=spec, errors={}))
        if error is not None:
            entry["errors"][family] = error
            return
        arrays.update({f"outputs/{call}/{family}/{k}": v for k, v in flat.items()})
        arrays.update({f"gradients/{call}/{k}": gradients[k] for k in gradients})
        used.update(v for v in spec.values() if isinstance(v, str) and not v.startswith("past:"))

    with tempfile.TemporaryDirectory() as checkpoint:
        model = build_torch(task, config, weights)
        model.save_pretrained(checkpoint)
        models = {"torch": model}
        load_errors = {}
        for family in ("tf", "flax"):
            try:
                models[family] = model_class(family, task).from_pretrained(checkpoint, from_pt=True)
            except Exception as error:
                load_errors[family] = short(error)
        for call, spec in case["calls"].items():
            if any(
                isinstance(v, str) and v not in inputs and not v.startswith("past:")
                for v in spec.values()
            ):
                continue
            for family in FAMILIES:
                if family in load_errors:
                    note(call, spec, family, {}, error="from_pretrained: " + load_errors[family])
                    continue
                models[family].config.problem_type = case["config"].get("problem_type")
                try:
                    flat, gradients = run(family, models[family], spec, inputs, recorded)
                except Exception as error:
                    assert family != "torch", (name, call, error)
                    note(call, spec, family, {}, error=short(error))
                    continue
                if family == "torch":
                    recorded[call] = flat
                note(call, spec, family, flat, gradients)
            if "cross_attn_head_mask" in spec:
                with obey_cross_attn_head_mask(model, inputs[spec["cross_attn_head_mask"]]):
                    note(call, spec, "documented", run("torch", model, spec, inputs, recorded)[0])
        for call, spec in case["generate"].items():
            arguments = arguments_for("torch", spec, inputs, recorded)
            note(call, spec, "torch", dict(sequences=generate(model, arguments)))
            meta["calls"][call]["generate"] = True
    arrays |= {f"inputs/{k}": inputs[k] for k in sorted(used)}
    arrays["meta"] = np.frombuffer(json.dumps(meta, sort_keys=True).encode(), dtype="uint8")
    np.savez_compressed(folder / f"{name}.npz", **arrays)
    return {c: e["errors"] for c, e in meta["calls"].items() if e["errors"]}


def short(error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    lines = [line for line in lines if " layer '" not in line and line[0] != "•"]  # Keras's frame
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:160]


# ---------------------------------------------------------------- checkpoints in each format

CHECKPOINTS = {
    "masked_lm": ("ForMaskedLM", SMALL | dict(embedding_size=16)),
    "sequence_classification": ("ForSequenceClassification", SMALL | THREE_LABELS),
}


def write_checkpoint(name, folder):
    """One model in each file format of transformers; expected.npz: inputs, torch outputs."""
    task, config = CHECKPOINTS[name]
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    config = transformers.RoFormerConfig(**config)
    model = build_torch(task, config, draw_weights(rng, model_class("torch", task)(config)))
    shutil.rmtree(folder, ignore_errors=True)
    model.save_pretrained(folder)
    model.save_pretrained(folder, safe_serialization=False)
    tf_model = model_class("tf", task).from_pretrained(folder, from_pt=True)
    tf_model.save_weights(folder / "tf_model.h5")
    model_class("flax", task).from_pretrained(folder, from_pt=True).save_pretrained(folder)
    model.config.save_pretrained(folder)  # the Flax class wrote its own over it
    inputs = draw_inputs(rng, config, task)
    arguments = dict(
        input_ids=inputs["ids"], attention_mask=inputs["mask"], token_type_ids=inputs["types"]
    )
    flat, _ = run("torch", model, {k: k for k in arguments}, arguments, {})
    np.savez_compressed(folder / "expected.npz", **arguments, **flat)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "names", nargs="*", help="cases to record (default: all, and the checkpoints)"
    )
    names = parser.parse_args().names
    assert transformers.__version__ == TRANSFORMERS_VERSION, transformers.__version__
    transformers.logging.set_verbosity_error()
    data = HERE / "data"
    data.mkdir(exist_ok=True)
    for name, case in cases().items():
        if not names or name in names:
            errors = record(name, case, data)
            print(f"{name}: {(data / f'{name}.npz').stat().st_size // 1024} kB", flush=True)
            for call, by_family in errors.items():
                for family, error in by_family.items():
                    print(f"    {call} {family}: {error}", flush=True)
    for name in CHECKPOINTS:
        if not names or name in names:
            write_checkpoint(name, HERE / "checkpoints" / name)


if __name__ == "__main__":
    main()
