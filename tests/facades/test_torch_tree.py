"""What torch code does to a model: nesting, subclasses, replacement, hooks, modes."""

import copy
import io
import pickle

import keras
import numpy as np
import pytest

from tests.support import WIDE, close
from tests.tolerances import BFLOAT16

if keras.config.backend() != "torch":
    pytest.skip("the torch classes run on torch", allow_module_level=True)

import torch
from torch import nn

import keras_roformer as kr

# Square dense layers: a transposed weight would fit without an error.
CONFIG = {**WIDE, "embedding_size": None, "intermediate_size": 32, "initializer_range": 0.3}
IDS = torch.tensor(np.random.default_rng(0).integers(1, 50, (2, 7)))
MASK = torch.tensor([[1] * 7, [1] * 5 + [0] * 2])


def make(task="ForTokenClassification", **config):
    return getattr(kr, f"RoFormer{task}")(kr.RoFormerConfig(**{**CONFIG, **config})).eval()


def differ(a, b):
    return (a - b).abs().max() > 1e-3


class Net(nn.Module):
    """A model inside another module, as most torch code has it."""

    def __init__(self):
        super().__init__()
        self.encoder = make("Model")
        self.lm = make("ForMaskedLM")
        self.output = nn.Linear(32, 3)

    def forward(self, ids):
        states = self.encoder(ids, attention_mask=MASK).last_hidden_state
        return torch.cat([self.output(states), self.lm(ids, attention_mask=MASK).logits], -1)


class Tagger(kr.RoFormerPreTrainedModel):
    """A model of one's own around the encoder, as the field writes it."""

    def __init__(self, config):
        super().__init__(config)
        self.roformer = kr.RoFormerModel(config)
        self.lstm = nn.LSTM(config.hidden_size, 8, batch_first=True)
        self.tags = nn.Linear(8, config.num_labels)
        self.register_buffer("counts", torch.zeros(3))
        self.post_init()

    def forward(self, input_ids, attention_mask=None):
        states = self.roformer(input_ids, attention_mask=attention_mask)[0]
        return self.tags(self.lstm(states)[0])


class Extended(kr.RoFormerForTokenClassification):
    """A documented class with a module more."""

    def __init__(self, config, scale=2.0):
        super().__init__(config)
        self.extra = nn.Linear(3, 3)
        self.scale = scale

    def forward(self, input_ids, **kwargs):
        return self.scale * self.extra(super().forward(input_ids, **kwargs).logits)


def test_a_model_inside_a_module_loads_its_own_state():
    one, two = Net(), Net()
    assert differ(one(IDS), two(IDS))
    buffer = io.BytesIO()
    torch.save(one.state_dict(), buffer)
    buffer.seek(0)
    keys = two.load_state_dict(torch.load(buffer, weights_only=True))
    assert keys.missing_keys == keys.unexpected_keys == []
    close(one(IDS), two(IDS))
    for wrapped in (nn.ModuleDict({"a": one}), torch.optim.swa_utils.AveragedModel(one)):
        twin = copy.deepcopy(wrapped)
        for parameter in twin.parameters():
            parameter.data.zero_()
        twin.load_state_dict(wrapped.state_dict())
        close(next(twin.children())(IDS), one(IDS))


def test_a_state_of_transformers_loads_into_a_nested_model():
    transformers = pytest.importorskip("transformers")

    class Reference(nn.Module):
        def __init__(self):
            super().__init__()
            config = transformers.RoFormerConfig(**CONFIG)
            self.encoder = transformers.RoFormerModel(config)
            self.lm = transformers.RoFormerForMaskedLM(config)
            self.output = nn.Linear(32, 3)

        forward = Net.forward

    reference, net = Reference().eval(), Net()
    keys = net.load_state_dict(reference.state_dict())
    assert keys.missing_keys == keys.unexpected_keys == []
    close(net(IDS), reference(IDS))


def test_parameters_and_state_agree_and_are_contiguous():
    model = make("ForMaskedLM")
    state = model.state_dict()
    for name, parameter in model.named_parameters():
        assert parameter.is_contiguous()
        assert (
            state[name].shape == parameter.shape and state[name].data_ptr() == parameter.data_ptr()
        )
    wanted = model(IDS).logits
    vector = nn.utils.parameters_to_vector(model.parameters())
    nn.utils.vector_to_parameters(torch.zeros_like(vector), model.parameters())
    assert model(IDS).logits.abs().max() == 0
    nn.utils.vector_to_parameters(vector, model.parameters())
    close(model(IDS).logits, wanted)


def test_lbfgs():
    model = make("ForSequenceClassification")
    labels = torch.tensor([0, 2])
    optimizer = torch.optim.LBFGS(model.parameters(), lr=0.1, max_iter=4)

    def closure():
        optimizer.zero_grad()
        loss = model(IDS, labels=labels).loss
        loss.backward()
        return loss

    before = optimizer.step(closure).item()
    assert closure().item() < 0.9 * before


@pytest.mark.parametrize("cls", [Extended, Tagger])
def test_subclasses_keep_what_they_add(cls, tmp_path):
    config = kr.RoFormerConfig(**CONFIG)
    model, other = cls(config).eval(), cls(config).eval()
    if cls is Tagger:
        model.counts += 3
    wanted = model(IDS, attention_mask=MASK)
    assert differ(other(IDS, attention_mask=MASK), wanted)
    other.load_state_dict(model.state_dict())
    model.save_pretrained(tmp_path)
    loaded, info = cls.from_pretrained(tmp_path, output_loading_info=True)
    assert info["missing_keys"] == info["unexpected_keys"] == []
    for twin in (other, loaded, copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        close(twin(IDS, attention_mask=MASK), wanted)
        assert set(twin.state_dict()) == set(model.state_dict())
        close(
            twin.state_dict()["counts" if cls is Tagger else "extra.bias"],
            model.state_dict()["counts" if cls is Tagger else "extra.bias"],
        )


@pytest.mark.parametrize("cls", [Extended, Tagger])
def test_subclasses_start_from_a_checkpoint_without_what_they_add(cls, tmp_path, caplog):
    encoder = make("Model")
    encoder.save_pretrained(tmp_path)
    model, info = cls.from_pretrained(tmp_path, num_labels=3, output_loading_info=True)
    assert not any(name.startswith("roformer.") for name in info["missing_keys"])
    assert "weights" not in caplog.text and "keep their initial values" in caplog.text
    close(model.roformer(IDS).last_hidden_state, encoder(IDS).last_hidden_state)
    added = model.tags if cls is Tagger else model.extra
    assert f"{'tags' if cls is Tagger else 'extra'}.weight" in info["missing_keys"]
    assert added.weight.abs().max() > 0
    if cls is Tagger:
        assert added.bias.abs().max() == 0 and 0.2 < added.weight.std() < 0.4  # init_weights


def test_a_subclass_of_the_base_is_resized_and_converted():
    model = Tagger(kr.RoFormerConfig(**CONFIG)).eval()
    wanted = model(IDS)
    model.resize_token_embeddings(60)
    assert model.config.vocab_size == 60 and model.get_input_embeddings().num_embeddings == 60
    close(model(IDS), wanted)
    assert model.double()(IDS).dtype == torch.float64
    close(model(IDS).float(), wanted)
    model.gradient_checkpointing_enable()
    assert model.roformer.is_gradient_checkpointing


def test_a_subclass_without_a_call_or_the_base_itself():
    with pytest.raises(TypeError, match="is a base class"):
        kr.RoFormerPreTrainedModel(kr.RoFormerConfig(**CONFIG))

    class Silent(kr.RoFormerPreTrainedModel):
        pass

    with pytest.raises(NotImplementedError, match="Silent"):
        Silent(kr.RoFormerConfig(**CONFIG))(IDS)


def test_initial_values_follow_torch_and_the_config():
    torch.manual_seed(3)
    one = make("ForSequenceClassification", initializer_range=0.02, vocab_size=5000)
    torch.manual_seed(3)
    two = make("ForSequenceClassification", initializer_range=0.02, vocab_size=5000)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    table = one.roformer.embeddings.word_embeddings.weight
    assert table[0].abs().max() == 0 and abs(table[1:].std() - 0.02) < 2e-4
    assert table.abs().max() > 0.06  # not cut off


class Pair(kr.RoFormerPreTrainedModel):
    """A model of one's own with an encoder deep inside, which does not call `post_init`."""

    def __init__(self, config):
        super().__init__(config)
        self.roformer = kr.RoFormerModel(config)
        self.others = nn.ModuleDict({"b": kr.RoFormerModel(config)})


def test_what_a_checkpoint_lacks_is_drawn_wherever_it_is(tmp_path, monkeypatch):
    make("Model").save_pretrained(tmp_path)
    monkeypatch.setattr(torch, "empty_like", lambda x, **_: torch.full_like(x, torch.nan))
    model = Pair.from_pretrained(tmp_path)
    assert all(p.isfinite().all() for p in model.parameters())
    assert 0.2 < model.others.b.embeddings.word_embeddings.weight.std() < 0.4


def test_replaced_modules_are_used():
    model = make("ForTokenClassification")
    model.classifier = nn.Linear(32, 7)
    close(model(IDS).logits, model.classifier(model.roformer(IDS).last_hidden_state))
    twin = pickle.loads(pickle.dumps(model))
    close(twin(IDS).logits, model(IDS).logits)

    model = make("ForSequenceClassification")
    model.classifier.out_proj = nn.Linear(32, 5)
    assert model(IDS).logits.shape == (2, 5)
    model.classifier = nn.Sequential(nn.Flatten(), nn.LazyLinear(2))
    close(model(IDS).logits, model.classifier(model.roformer(IDS).last_hidden_state))
    assert "classifier.1.weight" in model.state_dict()

    model = make("ForMaskedLM")
    model.cls = nn.Linear(32, 9)
    close(model(IDS).logits, model.cls(model.roformer(IDS).last_hidden_state))


def test_replaced_parameters_are_used(tmp_path):
    model, other = make("ForTokenClassification"), make("ForTokenClassification")
    model.classifier.weight = nn.Parameter(other.classifier.weight.detach().clone())
    model.classifier.bias = other.classifier.bias
    model.roformer = other.roformer
    close(model(IDS).logits, other(IDS).logits)
    model.save_pretrained(tmp_path)
    close(type(model).from_pretrained(tmp_path)(IDS).logits, other(IDS).logits)
    with torch.no_grad():  # the backbone is the same one, not a copy
        other.roformer.embeddings.word_embeddings.weight.mul_(2)
    close(model(IDS).logits, other(IDS).logits)


def test_functional_call():
    model, other = make("ForMaskedLM"), make("ForMaskedLM")
    parameters = dict(other.named_parameters())
    close(torch.func.functional_call(model, parameters, (IDS,)).logits, other(IDS).logits)

    def loss(parameters):
        return torch.func.functional_call(model, parameters, (IDS,), {"labels": IDS}).loss

    gradients = torch.func.grad(loss)({n: p.detach() for n, p in parameters.items()})
    other(IDS, labels=IDS).loss.backward()
    for name, parameter in other.named_parameters():
        close(gradients[name], parameter.grad)


def test_transforms_of_torch_func():
    """Gradients of every example, and a directional derivative, against plain backward passes."""
    model = make("ForMaskedLM")
    parameters = {name: p.detach() for name, p in model.named_parameters()}
    mask = torch.ones(len(IDS), IDS.shape[1])
    mask[0, 2:] = 0

    def loss(parameters, row, shown):
        arguments = dict(attention_mask=shown[None], labels=row[None])
        return torch.func.functional_call(model, parameters, (row[None],), arguments).loss

    one = torch.func.grad(loss)
    examples = torch.vmap(one, in_dims=(None, 0, 0))(parameters, IDS, mask)
    for i, (row, shown) in enumerate(zip(IDS, mask, strict=True)):
        model.zero_grad()
        model(row[None], attention_mask=shown[None], labels=row[None]).loss.backward()
        for name, parameter in model.named_parameters():
            close(examples[name][i], parameter.grad)
    directions = {name: torch.randn_like(p) for name, p in parameters.items()}
    _, slope = torch.func.jvp(lambda p: loss(p, row, shown), (parameters,), (directions,))
    close(slope, sum((directions[n] * p.grad).sum() for n, p in model.named_parameters()))


def test_hooks_see_and_change_what_the_model_computes():
    model = make("ForMaskedLM", num_hidden_layers=2)
    states = model(IDS, output_hidden_states=True).hidden_states
    seen = {}

    def keep(name, pick=lambda output: output):
        return lambda module, inputs, output: seen.__setitem__(name, pick(output))

    backbone = model.roformer
    handles = [
        backbone.embeddings.register_forward_hook(keep("embeddings")),
        backbone.encoder.layer[0].register_forward_hook(keep("layer", lambda output: output[0])),
        backbone.encoder.register_forward_hook(keep("encoder", lambda output: output[0])),
        backbone.encoder.layer[1].attention.self.query.register_forward_hook(keep("query")),
        model.cls.register_forward_hook(keep("cls")),
        model.cls.predictions.register_forward_hook(keep("predictions")),
    ]
    logits = model(IDS).logits
    close(seen["embeddings"], states[0])
    close(seen["layer"], states[1])
    close(seen["encoder"], states[2])
    close(seen["query"], backbone.encoder.layer[1].attention.self.query(states[1]))
    close(seen["cls"], logits)
    close(seen["predictions"], logits)
    for handle in handles:
        handle.remove()

    def halve(module, inputs, output):
        return (output[0] / 2, output[1])

    backbone.encoder.layer[1].register_forward_hook(halve)
    close(model(IDS).logits, model.cls(states[2] / 2))


def test_parts_compute_when_called():
    model = make("ForMaskedLM")
    states = model(IDS, output_hidden_states=True).hidden_states
    close(model.roformer.embeddings(IDS), states[0])
    close(model.cls(states[-1]), model(IDS).logits)
    weight = model.cls.predictions.decoder.weight
    assert weight is model.get_input_embeddings().weight
    table = model.roformer.embeddings.word_embeddings
    close(table(IDS), table.weight[IDS])


def test_what_the_model_does_not_compute_with_is_refused():
    model = make("ForMaskedLM")
    layer = model.roformer.encoder.layer[0]
    for part in (layer.attention, layer.attention.self, layer.intermediate, layer.output):
        with pytest.raises(NotImplementedError, match="cannot have hooks"):
            part.register_forward_hook(print)
        with pytest.raises(NotImplementedError, match="dense|self|query"):
            part(torch.zeros(1, 2, 32))
    with pytest.raises(TypeError, match="'layer' cannot be replaced"):
        model.roformer.encoder.layer = model.roformer.encoder.layer[:1]
    with pytest.raises(TypeError, match="'encoder' cannot be replaced"):
        model.roformer.encoder = nn.Identity()
    with pytest.raises(TypeError, match="set_output_embeddings"):
        model.cls.predictions.decoder = nn.Linear(32, 50)
    with pytest.raises(TypeError, match="roformer must be a RoFormerModel"):
        model.roformer = nn.Identity()
    with pytest.raises(NotImplementedError, match="DistributedDataParallel"):
        model._replicate_for_data_parallel()


def test_dropout_is_each_modules_own():
    model = make("ForTokenClassification", hidden_dropout_prob=0.5)
    wanted = model(IDS).logits
    model.train()
    assert differ(model(IDS).logits, model(IDS).logits)
    model.roformer.eval()
    model.dropout.p = 0.0
    close(model(IDS).logits, wanted)
    model.eval()
    for module in model.modules():  # Monte Carlo dropout
        if isinstance(module, nn.Dropout):
            module.p = 0.3
            module.train()
    assert differ(model(IDS).logits, model(IDS).logits)


def test_dropout_drops_the_same_as_transformers():
    transformers = pytest.importorskip("transformers")
    reference = transformers.RoFormerForTokenClassification(
        transformers.RoFormerConfig(**CONFIG, attention_probs_dropout_prob=0.0)
    )
    model = make("ForTokenClassification", attention_probs_dropout_prob=0.0)
    model.load_state_dict(reference.state_dict())
    outputs = []
    for each in (reference, model):
        each.train()
        torch.manual_seed(0)
        outputs.append(each(IDS, attention_mask=MASK).logits)
    close(*outputs)


def test_copies_keep_the_state_of_training():
    model = make("ForTokenClassification").train()
    model.roformer.eval()
    model.roformer.requires_grad_(False)
    model.classifier.weight.requires_grad_(True)
    model.gradient_checkpointing_enable()
    model.note = {"a": [1]}
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert [p.requires_grad for p in twin.parameters()] == [
            p.requires_grad for p in model.parameters()
        ]
        assert twin.training and not twin.roformer.training
        assert twin.is_gradient_checkpointing and twin.note == {"a": [1]}
        twin.roformer.embeddings.word_embeddings.weight.data.zero_()
    assert model.roformer.embeddings.word_embeddings.weight.abs().max() > 0
    model.resize_token_embeddings(60)
    assert not model.get_input_embeddings().weight.requires_grad
    frozen = model.num_parameters() - model.num_parameters(only_trainable=True)
    assert frozen == sum(p.numel() for p in model.roformer.parameters())


def test_embeddings_of_another_are_shared():
    model = make("ForMaskedLM")
    table = nn.Embedding(60, 32)
    model.set_input_embeddings(table)
    assert model.get_input_embeddings() is table and model.config.vocab_size == 60
    logits = model(IDS).logits
    assert logits.shape[-1] == 60
    with torch.no_grad():
        table.weight.mul_(2)
    assert differ(model(IDS).logits, logits)


def test_a_backbone_in_another_dtype():
    model = make("ForTokenClassification", initializer_range=0.1)
    wanted = model(IDS).logits
    model.roformer.half()
    for twin in (model, copy.deepcopy(model)):
        assert (
            twin.roformer.dtype == torch.float16 and twin.classifier.weight.dtype == torch.float32
        )
        assert twin.roformer(IDS).last_hidden_state.dtype == torch.float16
        assert twin(IDS).logits.dtype == torch.float32
        close(twin(IDS).logits.detach(), wanted.detach(), BFLOAT16)


class Adapted(nn.Module):
    """What PEFT puts in the place of a head that is to be trained whole (`modules_to_save`)."""

    def __init__(self, original):
        super().__init__()
        self.original_module = original
        self.trained = copy.deepcopy(original)

    def forward(self, *args, **kwargs):
        return self.trained(*args, **kwargs)


@pytest.mark.parametrize(
    "task, head, config",
    [
        ("ForSequenceClassification", "classifier", {}),
        ("ForMaskedLM", "cls", {}),
        ("ForMaskedLM", "cls", {"tie_word_embeddings": False}),
    ],
)
def test_a_copied_head_computes_with_its_own_modules(task, head, config):
    model = make(task, **config)
    wanted = model(IDS).logits
    setattr(model, head, Adapted(getattr(model, head)))
    adapted = getattr(model, head)
    for parameter in adapted.original_module.parameters():
        parameter.data.zero_()
    close(model(IDS).logits, wanted)
    model(IDS).logits.std().backward()
    assert all(p.grad.abs().sum() > 0 for n, p in adapted.trained.named_parameters())
    assert all(p.grad is None for p in adapted.original_module.parameters())

    twin = copy.deepcopy(model)
    close(twin(IDS).logits, wanted)
    for parameter in twin.parameters():
        parameter.data.zero_()
    assert not twin(IDS).logits.any()
    close(model(IDS).logits, wanted)


def test_what_is_done_to_a_dense_layer_counts():
    """Hooks of one module or of all, and a `forward` of its own, as accelerate gives it."""
    model = make("ForTokenClassification")
    wanted = model(IDS).logits
    dense = model.roformer.encoder.layer[1].output.dense
    zeros = lambda module, inputs, output: 0 * output if module is dense else None  # noqa: E731
    for register in (
        dense.register_forward_hook,
        nn.modules.module.register_module_forward_hook,
        lambda hook: dense.register_forward_pre_hook(lambda m, inputs: (0 * inputs[0],)),
    ):
        handle = register(zeros)
        assert differ(model(IDS).logits, wanted)
        handle.remove()
        close(model(IDS).logits, wanted)
    forward = dense.forward
    dense.forward = lambda x: 0 * forward(x)
    assert differ(model(IDS).logits, wanted)


def test_a_replaced_head_generates():
    model = make("ForCausalLM", is_decoder=True)
    wanted = model.generate(IDS, max_new_tokens=5)
    model.cls = Adapted(model.cls)
    assert torch.equal(model.generate(IDS, max_new_tokens=5), wanted)


def test_low_rank_adapters_of_peft_beside_a_trained_head():
    peft = pytest.importorskip("peft")
    labels = torch.tensor([0, 2])
    config = dict(target_modules=["query", "value"], r=2)
    model = peft.get_peft_model(
        make("ForSequenceClassification"), peft.LoraConfig(task_type="SEQ_CLS", **config)
    ).train()
    model(input_ids=IDS, labels=labels).loss.backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    changed = model.eval()(input_ids=IDS).logits
    close(model.merge_and_unload()(input_ids=IDS).logits, changed)


def test_low_rank_adapters_of_peft():
    peft = pytest.importorskip("peft")
    model = make("ForSequenceClassification")
    wanted = model(IDS).logits
    config = peft.LoraConfig(target_modules=["query", "value"], init_lora_weights=True, r=2)
    adapted = peft.get_peft_model(model, config)
    close(adapted(input_ids=IDS).logits, wanted)
    for name, parameter in adapted.named_parameters():
        assert parameter.requires_grad == ("lora" in name)
        if "lora_B" in name:
            nn.init.normal_(parameter)
    changed = adapted(input_ids=IDS).logits
    assert differ(changed, wanted)
    close(adapted.merge_and_unload()(input_ids=IDS).logits, changed)
