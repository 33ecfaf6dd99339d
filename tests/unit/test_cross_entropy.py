"""Chunked cross-entropy: loss and gradients are those of torch's own over whole logits."""

import pytest
import torch
from winnow.train import cross_entropy
from winnow.train.cross_entropy import linear_cross_entropy


@pytest.mark.parametrize("rows", [1, 17, 130])
@pytest.mark.parametrize("ignored", [0, 1])
@pytest.mark.parametrize("form", ["in place", "for a GPU's compiler"])
def test_loss_and_gradients_equal_torchs(
    monkeypatch: pytest.MonkeyPatch, rows: int, ignored: int, form: str
) -> None:
    monkeypatch.setattr(cross_entropy, "LOGITS_CPU", 16 * 50)
    if form != "in place":
        whole_graph = torch.compile(
            cross_entropy._loss_and_gradient, dynamic=True, fullgraph=True, backend="aot_eager"
        )
        monkeypatch.setattr(cross_entropy, "_loss_and_gradient_in_place", whole_graph)
    torch.manual_seed(rows)
    hidden = torch.randn(2, rows, 8, dtype=torch.float64).float().requires_grad_()
    weight = (3 * torch.randn(50, 8)).requires_grad_()
    targets = torch.randint(0, 50, (2, rows))
    targets[0, :ignored] = -1
    ours = linear_cross_entropy(hidden, weight, targets)
    mine = torch.autograd.grad(ours / 7, [hidden, weight])
    theirs = torch.nn.functional.cross_entropy(
        (hidden @ weight.t()).flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=-1
    )
    assert float(ours.detach()) == pytest.approx(float(theirs.detach()), rel=1e-5)
    for a, b in zip(mine, torch.autograd.grad(theirs / 7, [hidden, weight]), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)


def test_a_hopeless_target_has_a_finite_loss() -> None:
    hidden, weight = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[1.0], [-1.0]])
    loss = linear_cross_entropy(hidden, weight, torch.tensor([1]))
    assert float(loss.detach()) == pytest.approx(2000.0)


def test_bfloat16_stays_near() -> None:
    torch.manual_seed(0)
    hidden, weight = torch.randn(64, 32), torch.randn(100, 32)
    targets = torch.randint(0, 100, (64,))
    whole = float(linear_cross_entropy(hidden, weight, targets))
    with torch.autocast("cpu", torch.bfloat16):
        assert float(linear_cross_entropy(hidden, weight, targets)) == pytest.approx(whole, rel=0.01)
