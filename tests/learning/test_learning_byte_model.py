"""The byte-level model: it learns, the two losses keep apart, and bad text is refused."""

import pytest
import torch
from cases import refused

from msa_learning.models import byte_model
from msa_learning.models.byte_model import ByteModel, held_out_loss, next_byte_loss, train
from msa_ref import MSAConfig

TINY = MSAConfig(num_heads=4, num_kv_heads=2, head_dim=8, index_dim=8, block_size=4, top_k=3)
TEXT = b"a quick brown fox jumps over a lazy dog; " * 20


def make(seed=0):
    torch.manual_seed(seed)
    return ByteModel(TINY, layers=2, hidden=16)


def run(model, *, steps=30, warm_up_steps=10, seed=0):
    generator = torch.Generator().manual_seed(seed)
    sizes = {"batch": 4, "context": 40, "learning_rate": 1e-2}
    return list(
        train(model, TEXT, steps=steps, warm_up_steps=warm_up_steps, generator=generator, **sizes)
    )


def test_it_learns_and_so_does_its_index():
    model = make()
    before = held_out_loss(model, TEXT, context=40)
    done = run(model, steps=60)
    assert [step.warm_up for step in done] == [True] * 10 + [False] * 50
    assert held_out_loss(model, TEXT, context=40) < 0.75 * before
    assert sum(step.kl for step in done[-5:]) < 0.8 * sum(step.kl for step in done[10:15])


def test_same_seed_same_curve():
    assert run(make(), steps=8, warm_up_steps=4) == run(make(), steps=8, warm_up_steps=4)
    assert run(make(), steps=8) != run(make(), steps=8, seed=1)


def parameters(model):
    """The trunk's parameters and the index branches'."""
    named = list(model.named_parameters())
    return [[w for n, w in named if (".indexer." in n) == index] for index in (False, True)]


@pytest.mark.parametrize("warm_up", [False, True])
def test_the_two_losses_share_no_parameter(warm_up):
    tokens = torch.randint(256, (2, 24))
    for name, with_gradient in (("language model", 0), ("index", 1)):
        model = make()
        output = model(tokens, warm_up=warm_up)
        loss = output.kl if name == "index" else next_byte_loss(output.logits, tokens)
        loss.backward()
        for part, weights in enumerate(parameters(model)):
            has_gradient = [weight.grad is not None for weight in weights]
            assert all(has_gradient) if part == with_gradient else not any(has_gradient), name


def test_no_byte_sees_its_future():
    model, tokens = make().eval(), torch.randint(256, (1, 30))
    changed = tokens.clone()
    changed[0, 21:] = (changed[0, 21:] + 1) % 256
    for warm_up in (False, True):
        before, after = (model(rows, warm_up=warm_up).logits for rows in (tokens, changed))
        torch.testing.assert_close(before[:, :21], after[:, :21])
        assert not torch.allclose(before[:, 21], after[:, 21])


def test_the_selection_matters():
    """With 3 of 8 blocks the logits differ from those of dense attention."""
    model, tokens = make().eval(), torch.randint(256, (1, 30))
    sparse, dense = (model(tokens, warm_up=warm_up).logits for warm_up in (False, True))
    torch.testing.assert_close(sparse[:, :12], dense[:, :12])
    assert not torch.allclose(sparse[:, 12:], dense[:, 12:])


def test_the_documentation_is_there():
    text = byte_model.documentation()
    assert len(text) > 300_000
    assert b'The "assert" statement' in text


def test_bad_input_is_refused():
    with refused(ValueError, "text", "39 bytes", "40"):
        held_out_loss(make(), TEXT[:39], context=40)
    with refused(ValueError, "tokens", "0 to 256", "255"):
        make()(torch.tensor([[0, 256]]))
    with refused(ValueError, "tokens", "-1 to 0", "255"):
        make()(torch.tensor([[0, -1]]))
    with refused(ValueError, "layers", "0", "at least 1"):
        ByteModel(TINY, layers=0)
