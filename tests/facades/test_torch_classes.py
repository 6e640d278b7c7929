"""The torch classes as torch users use them: module, dtypes, copies, compile, export, Trainer."""

import copy
import inspect
import io
import pickle

import keras
import numpy as np
import pytest

from tests.support import WIDE, close
from tests.tolerances import BFLOAT16, FLOAT32

if keras.config.backend() != "torch":
    pytest.skip("the torch classes run on torch", allow_module_level=True)

import torch

import keras_roformer as kr
from keras_roformer.weights.names import COMPUTED, TIED


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = kr.RoFormerForMaskedLM(kr.RoFormerConfig(**WIDE))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model.eval()


@pytest.fixture
def ids():
    return torch.tensor(np.random.default_rng(0).integers(1, 50, (2, 7)))


def test_names_and_layout_are_transformers(model):
    transformers = pytest.importorskip("transformers")
    config = transformers.RoFormerConfig(**WIDE)
    reference = transformers.RoFormerForMaskedLM(config)
    wanted = {
        name: tuple(tensor.shape)
        for name, tensor in reference.state_dict().items()
        if name not in TIED and not COMPUTED.fullmatch(name)
    }
    assert {n: tuple(t.shape) for n, t in model.state_dict().items()} == wanted
    named = {n for n, _ in reference.named_parameters() if "positions" not in n}
    assert {n for n, _ in model.named_parameters()} == named
    reference.load_state_dict(model.state_dict(), strict=False)
    batch = torch.tensor([[3, 4, 5, 6]])
    close(reference.eval()(batch).logits, model(batch).logits)


def test_state_dict_shares_memory_and_loads_back(model, ids):
    wanted = model(ids).logits
    saved = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for tensor in model.state_dict().values():
        tensor.mul_(1.5)
    assert (model(ids).logits - wanted).abs().max() > 1e-3
    keys = model.load_state_dict(saved)
    assert keys.missing_keys == [] and keys.unexpected_keys == []
    close(model(ids).logits, wanted)


@pytest.mark.parametrize("strict", [True, False])
def test_state_dict_that_does_not_fit(model, strict):
    state = model.state_dict()
    del state["cls.predictions.bias"]
    state["stranger"] = torch.zeros(1)
    if strict:
        with pytest.raises(RuntimeError, match='(?s)"cls.predictions.bias".*"stranger"'):
            model.load_state_dict(state)
    else:
        keys = model.load_state_dict(state, strict=False)
        assert keys.missing_keys == ["cls.predictions.bias"]
        assert keys.unexpected_keys == ["stranger"]
    with pytest.raises(RuntimeError, match="size mismatch for cls.predictions.bias"):
        model.load_state_dict({"cls.predictions.bias": torch.zeros(1)}, strict=False)


def test_modes_decide_dropout(model, ids):
    assert kr.RoFormerModel(model.config).training  # as a constructor's result
    close(model(ids).logits, model(ids).logits)
    model.train()
    assert (model(ids).logits - model(ids).logits).abs().max() > 1e-4


def test_training_step_changes_every_parameter_and_lowers_the_loss(model, ids):
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    types = torch.ones_like(ids)
    types[:, :3] = 0
    losses = []
    for _ in range(5):
        loss = model(ids, token_type_ids=types, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert [n for n, p in model.named_parameters() if torch.equal(p, before[n])] == []


@pytest.mark.parametrize(
    "way", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["deepcopy", "pickle"]
)
def test_copies_are_equal_and_apart(model, ids, way):
    wanted = model(ids).logits
    twin = way(model)
    assert type(twin) is type(model) and not twin.training
    close(twin(ids).logits, wanted)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    close(model(ids).logits, wanted)


def test_torch_save_of_the_state(model, ids):
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    twin = kr.RoFormerForMaskedLM(model.config).eval()
    twin.load_state_dict(torch.load(buffer, weights_only=True))
    close(twin(ids).logits, model(ids).logits)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
def test_dtypes(model, ids, tmp_path, dtype):
    wanted = model(ids).logits
    dtype = getattr(torch, dtype)
    model.save_pretrained(tmp_path)
    for rough in (
        copy.deepcopy(model).to(dtype),
        kr.RoFormerForMaskedLM.from_pretrained(tmp_path, dtype=dtype),
        kr.RoFormerForMaskedLM.from_pretrained(tmp_path, torch_dtype=str(dtype).split(".")[1]),
    ):
        assert rough.dtype == dtype
        logits = rough(ids).logits
        assert logits.dtype == dtype
        close(logits, wanted, FLOAT32 if dtype == torch.float64 else BFLOAT16)


def test_compile_without_graph_breaks(model, ids):
    compiled = torch.compile(model, fullgraph=True)
    close(compiled(ids).logits, model(ids).logits)


def test_export_with_dynamic_shapes(model, ids):
    batch, length = torch.export.Dim("batch", min=1, max=64), torch.export.Dim("length", min=2)
    program = torch.export.export(
        model, (), {"input_ids": ids}, dynamic_shapes={"input_ids": {0: batch, 1: length}}
    )
    other = torch.tensor(np.random.default_rng(1).integers(1, 50, (3, 11)))
    close(program.module()(input_ids=other).logits, model(other).logits)


def test_gradient_checkpointing_keeps_the_gradients(model, ids):
    def gradients():
        model.zero_grad()
        model(ids, labels=ids).loss.backward()
        return {n: p.grad.clone() for n, p in model.named_parameters()}

    for part in model.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = 0.0
    model.train()
    plain = gradients()
    model.gradient_checkpointing_enable()
    for name, gradient in gradients().items():
        close(gradient, plain[name])


def test_input_embeddings_are_the_parameters(model, ids):
    embedding = model.get_input_embeddings()
    assert (
        embedding.weight.data_ptr() == model.roformer.embeddings.word_embeddings.weight.data_ptr()
    )
    vectors = embedding(ids)
    close(model(inputs_embeds=vectors).logits, model(ids).logits)


@pytest.mark.parametrize("tied", [True, False])
def test_output_embeddings(ids, tied):
    model = kr.RoFormerForMaskedLM(kr.RoFormerConfig(**WIDE, tie_word_embeddings=tied)).eval()
    linear = model.get_output_embeddings()
    assert linear.weight.shape == (50, 12) and linear.bias is model.cls.predictions.bias
    assert (linear.weight is model.get_input_embeddings().weight) == tied
    other = torch.nn.Linear(12, 60)
    model.set_output_embeddings(other)
    assert model(ids).logits.shape[-1] == 60
    close(model.get_output_embeddings().weight, other.weight)
    bare = kr.RoFormerModel(model.config)
    assert bare.get_output_embeddings() is None
    with pytest.raises(ValueError, match="has no output embeddings; a masked"):
        bare.set_output_embeddings(torch.nn.Linear(12, 70))
    assert bare.config.vocab_size == 60


def test_backbone_is_a_model_of_its_own(model, ids):
    states = model.roformer(ids).last_hidden_state
    close(states, model(ids, output_hidden_states=True).hidden_states[-1])
    assert model.base_model is model.roformer


@pytest.mark.parametrize("is_decoder", [False, True])
def test_additive_masks(is_decoder):
    """As transformers 4.57 has them: 0 to attend, the dtype's lowest number to hide."""
    model = kr.RoFormerModel(kr.RoFormerConfig(**WIDE, is_decoder=is_decoder))
    mask = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
    pairs = torch.tensor(np.random.default_rng(0).integers(0, 2, (2, 7, 7)))
    for dtype in (torch.float32, torch.bfloat16):
        lowest = torch.finfo(dtype).min
        wide = mask[:, None, None] * (torch.ones(7, 7).tril() if is_decoder else 1)
        for given, wanted in ((mask, wide), (pairs, pairs[:, None])):
            found = model.get_extended_attention_mask(given, (2, 7), dtype=dtype)
            assert torch.equal(found, (1 - wanted.to(dtype)) * lowest) and found.dtype == dtype
    last = model.get_extended_attention_mask(mask, (2, 1))  # the others are in a cache
    assert torch.equal(last[:, 0, 0], (1.0 - mask) * torch.finfo(torch.float32).min)
    assert torch.equal(model.invert_attention_mask(mask), last)


def test_figures_are_transformers(ids):
    transformers = pytest.importorskip("transformers")
    reference = transformers.RoFormerModel(transformers.RoFormerConfig(**WIDE))
    own = kr.RoFormerModel(kr.RoFormerConfig(**WIDE))
    table = 4 * reference.encoder.embed_positions.weight.numel()  # not among our parameters
    assert own.get_memory_footprint() == reference.get_memory_footprint() - table
    batch = {"input_ids": ids}
    size = reference.num_parameters(exclude_embeddings=True)
    assert own.floating_point_ops(batch) == 6 * ids.numel() * size
    assert own.estimate_tokens({"labels": ids}) == 0
    assert own(**own.dummy_inputs).last_hidden_state.shape == (3, 5, 32)
    assert (own.num_labels, own.framework, own.name_or_path) == (3, "pt", "")
    words = own.eval().embeddings(input_ids=ids, token_type_ids=torch.zeros_like(ids))
    close(words, own.embeddings(inputs_embeds=own.get_input_embeddings()(ids)))


def test_checkpointing_as_transformers_5_asks_for_it(model, ids):
    """Its Trainer, with `gradient_checkpointing=True`, passes these arguments."""
    arguments = dict(activation_checkpointing_kwargs=None, every_n_layers=1, offload=False)
    model.activation_checkpointing_enable(**arguments)
    assert model.is_gradient_checkpointing
    model.activation_checkpointing_disable()
    assert not model.is_gradient_checkpointing
    for more in ({"every_n_layers": 2}, {"offload": True}):
        with pytest.raises(ValueError, match="leave out"):
            model.activation_checkpointing_enable(**{**arguments, **more})


def test_trainers_do_not_pass_loss_arguments(tmp_path):
    """A forward that hands on what it gets, as a subclass's, takes only what ours takes."""
    transformers = pytest.importorskip("transformers")

    class HandsOn(kr.RoFormerForTokenClassification):
        def forward(self, input_ids, **kwargs):
            return super().forward(input_ids, **kwargs)

    arguments = transformers.TrainingArguments(str(tmp_path), report_to=[], use_cpu=True)
    trainer = transformers.Trainer(HandsOn(kr.RoFormerConfig(**WIDE)), arguments)
    assert not trainer.model_accepts_loss_kwargs


def test_inputs_require_gradients(model, ids):
    """What adapters need for gradients to reach them through recomputed layers."""
    model.requires_grad_(False)
    assert not model(ids).logits.requires_grad
    model.enable_input_require_grads()
    assert model(ids).logits.requires_grad
    model.disable_input_require_grads()
    assert not model(ids).logits.requires_grad


@pytest.mark.parametrize("config", [{}, {"return_dict": False}, {"torchscript": True}])
def test_trace(ids, config):
    model = kr.RoFormerForMaskedLM(kr.RoFormerConfig(**WIDE, **config)).eval()
    traced = torch.jit.trace(model, (ids,), strict=bool(config))
    logits = traced(ids[:1, :5])
    logits = logits[0] if config else logits["logits"]
    close(logits, model(ids[:1, :5])[0])


def test_dynamic_quantization(model, ids):
    """torch's own finds the dense layers by their exact type."""
    quantized = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, torch.qint8)
    kinds = [type(module) for module in quantized.modules()]
    # Six a layer, the projection of the embeddings, and the head's.
    assert kinds.count(torch.ao.nn.quantized.dynamic.Linear) == 2 * 6 + 2
    found, wanted = quantized(ids).logits, model(ids).logits
    assert 0 < (found - wanted).abs().max() < 0.2 * wanted.std()


def test_a_checkpoint_of_the_trainer_says_what_it_lacks(model, tmp_path):
    model.save_pretrained(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match="model.config.save_pretrained"):
        kr.RoFormerForMaskedLM.from_pretrained(tmp_path)
    kr.RoFormerForMaskedLM.from_pretrained(tmp_path, config=model.config)


def test_resize_keeps_parameters_in_the_optimizer_walk(model, ids):
    wanted = model(ids).logits
    model.resize_token_embeddings(60)
    assert model.config.vocab_size == 60
    logits = model(ids).logits
    close(logits[..., :50], wanted)
    sizes = {n: p.shape[0] for n, p in model.named_parameters() if p.shape[0] in (50, 60)}
    assert set(sizes.values()) == {60} and len(sizes) == 2
    model.resize_token_embeddings(pad_to_multiple_of=64)
    assert model(ids).logits.shape[-1] == 64


def test_pruned_heads_equal_masked_heads(model, ids, tmp_path):
    mask = torch.ones(2, 4)
    mask[0, 1] = mask[1, 2] = mask[1, 3] = 0
    wanted = model(ids, head_mask=mask).logits
    model.prune_heads({0: [1], 1: [2]})
    model.prune_heads({1: [3]})
    close(model(ids).logits, wanted)
    model.save_pretrained(tmp_path)
    again = kr.RoFormerForMaskedLM.from_pretrained(tmp_path)
    assert again.config.pruned_heads == {0: [1], 1: [2, 3]}
    close(again(ids).logits, wanted)


def test_device_map_over_several_devices_is_an_error(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="spreads the model"):
        kr.RoFormerForMaskedLM.from_pretrained(tmp_path, device_map={"a": "cpu", "b": "meta"})
    assert kr.RoFormerForMaskedLM.from_pretrained(tmp_path, device_map="cpu").device.type == "cpu"


def test_what_transformers_4_reads():
    """Its Trainer takes classes of modules named keras… for TensorFlow's and reads `call`, its
    pipelines read the config's `_commit_hash` (both were tried once, with 4.57.6)."""
    cls = kr.RoFormerForSequenceClassification
    assert "labels" in inspect.signature(cls.call).parameters
    assert inspect.signature(cls.call) == inspect.signature(cls.forward)
    assert kr.RoFormerConfig()._commit_hash is None
    assert "_commit_hash" not in kr.RoFormerConfig().to_dict()


@pytest.mark.parametrize("task", ["ForSequenceClassification", "ForMaskedLM"])
def test_transformers_trainer(task, tmp_path):
    transformers = pytest.importorskip("transformers")
    rng = np.random.default_rng(0)
    rows = torch.tensor(rng.integers(1, 50, (64, 7)))
    labels = torch.bucketize(rows[:, 0], torch.tensor([17, 33])) if "Seq" in task else rows
    data = [
        {"input_ids": row, "labels": label, "no_argument": 1}
        for row, label in zip(rows, labels, strict=True)
    ]
    keras.utils.set_random_seed(0)
    cls = getattr(kr, f"RoFormer{task}")
    model = cls(kr.RoFormerConfig(**WIDE, initializer_range=0.05))
    arguments = transformers.TrainingArguments(
        str(tmp_path / "run"),
        num_train_epochs=8,  # five seeds ended at 0.61 to 0.70 of the first loss
        per_device_train_batch_size=16,
        learning_rate=3e-3,
        logging_steps=4,
        eval_strategy="epoch",
        save_strategy="epoch",
        load_best_model_at_end=True,
        gradient_checkpointing=True,
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
    )
    trainer = transformers.Trainer(model, arguments, train_dataset=data, eval_dataset=data)
    trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses[-1] < 0.9 * losses[0]
    trainer.save_model(tmp_path / "final")
    model.config.save_pretrained(tmp_path / "final")
    again = cls.from_pretrained(tmp_path / "final")
    close(again(rows[:2]).logits, model.eval()(rows[:2]).logits)


@pytest.mark.parametrize("cross", [False, True])
def test_cache_objects_of_transformers(cross):
    """A cache object is filled in place and comes back; tuples stay tuples."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = kr.RoFormerConfig(**WIDE, is_decoder=True, add_cross_attention=cross)
    model = kr.RoFormerForCausalLM(config).eval()
    ids = torch.tensor(np.random.default_rng(0).integers(1, 50, (2, 6)))
    context = {"encoder_hidden_states": torch.randn(2, 4, 32)} if cross else {}
    wanted = model(ids, **context).logits
    for past in (
        transformers.EncoderDecoderCache(transformers.DynamicCache(), transformers.DynamicCache()),
        transformers.DynamicCache() if not cross else None,
    ):
        logits = []
        for i in range(6):
            output = model(ids[:, i : i + 1], past_key_values=past, use_cache=True, **context)
            assert isinstance(output.past_key_values, tuple) == (
                past is None or type(past) is tuple
            )
            if not isinstance(output.past_key_values, tuple):
                assert output.past_key_values is past
            past = output.past_key_values
            logits.append(output.logits)
        close(torch.cat(logits, dim=1), wanted)
    if cross:
        assert isinstance(past, tuple) and {len(entry) for entry in past} == {4}
