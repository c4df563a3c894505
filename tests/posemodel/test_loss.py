import pytest
import torch

from posemodel.data.batch import Batch
from posemodel.network.base import Maps
from posemodel.training.loss import pose_loss

CELLS = 3


def batch_of(size: int = 2, *, mask: torch.Tensor | None = None, fill: float = 0.0) -> Batch:
    heatmaps = torch.full((size, 19, CELLS, CELLS), fill, dtype=torch.float16)
    heatmaps[:, 18] = 1 - fill
    return Batch(
        images=torch.zeros(size, 3, 12, 12, dtype=torch.uint8),
        heatmaps=heatmaps,
        pafs=torch.zeros(size, 38, CELLS, CELLS, dtype=torch.float16),
        mask=torch.ones(size, 1, CELLS, CELLS, dtype=torch.uint8) if mask is None else mask,
        people=torch.zeros(size, 0, 18, 3),
        warps=torch.zeros(size, 2, 3, dtype=torch.float64),
        image_ids=torch.arange(size),
    )


def exact(batch: Batch) -> Maps:
    return Maps(batch.heatmaps.float(), batch.pafs.float())


def test_exact_maps_cost_nothing() -> None:
    batch = batch_of()
    loss, _ = pose_loss([exact(batch)] * 3, batch)
    assert loss.item() == 0


def test_one_error_by_hand() -> None:
    """An error of 3 in one cell of one channel: 3^2 / (2 x batch 2 x 9 cells) = 0.25."""
    batch = batch_of(2)
    heatmaps, pafs = exact(batch)
    heatmaps[1, 4, 0, 2] += 3
    loss, terms = pose_loss([Maps(heatmaps, pafs)], batch)
    assert loss.item() == pytest.approx(0.25)
    assert {k: v.item() for k, v in terms.items()} == pytest.approx({"stage1_heatmaps": 0.25, "stage1_pafs": 0})


def test_channels_stages_and_branches_are_summed() -> None:
    """Error 1 in every channel and cell: 19 / 2 + 38 / 2 for a stage, whatever the batch and the number of cells."""
    for size in (1, 4):
        batch = batch_of(size)
        wrong = Maps(*(maps + 1 for maps in exact(batch)))
        loss, terms = pose_loss([wrong, exact(batch), wrong], batch)
        assert loss.item() == pytest.approx(2 * (19 + 38) / 2)
        assert [round(v.item(), 4) for v in terms.values()] == [9.5, 19, 0, 0, 9.5, 19]


def test_a_branch_that_a_stage_leaves_out_has_no_term() -> None:
    batch = batch_of()
    heatmaps, pafs = (maps + 1 for maps in exact(batch))
    loss, terms = pose_loss([Maps(None, pafs), Maps(heatmaps, pafs)], batch, foreground_weight=2)
    assert list(terms) == ["stage1_pafs", "stage2_heatmaps", "stage2_pafs"]
    whole, of_both = pose_loss([Maps(heatmaps, pafs)] * 2, batch, foreground_weight=2)
    assert loss.item() == pytest.approx((whole - of_both["stage1_heatmaps"]).item())


def test_terms_are_named_in_order_and_sum_to_the_loss() -> None:
    batch = batch_of()
    stages = [Maps(*(maps + torch.randn(maps.shape) for maps in exact(batch))) for _ in range(2)]
    loss, terms = pose_loss(stages, batch)
    assert list(terms) == ["stage1_heatmaps", "stage1_pafs", "stage2_heatmaps", "stage2_pafs"]
    assert loss.item() == pytest.approx(sum(term.item() for term in terms.values()))


def test_masked_cells_count_for_nothing() -> None:
    mask = torch.ones(2, 1, CELLS, CELLS, dtype=torch.uint8)
    mask[0, 0, 1, 1] = 0
    batch = batch_of(mask=mask)
    heatmaps, pafs = exact(batch)
    heatmaps[0, :, 1, 1] += 100
    pafs[0, :, 1, 1] -= 100
    heatmaps.requires_grad_()
    loss, _ = pose_loss([Maps(heatmaps, pafs)], batch)
    assert loss.item() == 0
    heatmaps = heatmaps.detach()
    heatmaps[1, 0, 1, 1] += 6
    loss, _ = pose_loss([Maps(heatmaps, pafs)], batch)
    assert loss.item() == pytest.approx(36 / (2 * 2 * 9)), "the divisor counts masked cells too"


def test_no_gradient_reaches_a_masked_cell() -> None:
    mask = torch.ones(1, 1, CELLS, CELLS, dtype=torch.uint8)
    mask[0, 0, 2, 0] = 0
    batch = batch_of(1, mask=mask)
    maps = Maps(*(m.add(1).requires_grad_() for m in exact(batch)))
    pose_loss([maps], batch)[0].backward()
    for branch in maps:
        assert not branch.grad[0, :, 2, 0].any()
        assert branch.grad[0, :, 0, 0].all()


def test_foreground_weight_one_is_the_plain_loss() -> None:
    torch.manual_seed(0)
    batch = batch_of(fill=0.5)
    stages = [Maps(*(maps + torch.randn(maps.shape) for maps in exact(batch)))]
    assert pose_loss(stages, batch, foreground_weight=1.0)[0] == pose_loss(stages, batch)[0]


def test_foreground_weight_by_hand() -> None:
    """1 + (w - 1) t: a part at its peak (t = 1) counts 5-fold, half on 3-fold, off once; background by its complement;
    both channels of a PAF by the length of the vector."""
    batch = batch_of(1)
    batch.heatmaps[0, 0, 0, 0], batch.heatmaps[0, 18, 0, 0] = 1, 0
    batch.heatmaps[0, 0, 0, 1], batch.heatmaps[0, 18, 0, 1] = 0.5, 0.5
    batch.pafs[0, 2, 0, 0], batch.pafs[0, 3, 0, 0] = 0, -1

    def cost(branch: str, channel: int, row: int, column: int) -> float:
        maps = exact(batch)
        getattr(maps, branch)[0, channel, row, column] += 1
        return pose_loss([maps], batch, foreground_weight=5)[0].item() * 2 * 9

    assert cost("heatmaps", 0, 0, 0) == pytest.approx(5)
    assert cost("heatmaps", 0, 0, 1) == pytest.approx(3)
    assert cost("heatmaps", 0, 2, 2) == pytest.approx(1)
    assert cost("heatmaps", 18, 0, 0) == pytest.approx(5)
    assert cost("heatmaps", 18, 2, 2) == pytest.approx(1)
    assert cost("pafs", 2, 0, 0) == pytest.approx(5)
    assert cost("pafs", 3, 0, 0) == pytest.approx(5)
    assert cost("pafs", 4, 0, 0) == pytest.approx(1)


def test_half_precision_maps_are_summed_in_full_precision() -> None:
    batch = batch_of(2)
    wrong = Maps(*(maps.add(100).half() for maps in exact(batch)))
    loss, _ = pose_loss([wrong], batch)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(1e4 * 57 / 2, rel=0.01)


def test_the_gradient_is_that_of_the_formula() -> None:
    """The loss is written as one function with its own backward: autograd on the formula must agree."""
    generator = torch.Generator().manual_seed(0)
    mask = torch.randint(0, 2, (2, 1, CELLS, CELLS), generator=generator).to(torch.uint8)
    batch = batch_of(2, mask=mask)._replace(
        heatmaps=torch.rand(2, 19, CELLS, CELLS, generator=generator),
        pafs=torch.rand(2, 38, CELLS, CELLS, generator=generator),
    )
    found = [torch.rand(2, n, CELLS, CELLS, generator=generator).requires_grad_() for n in (19, 38)]
    for weight in (1.0, 4.0):
        loss, _ = pose_loss([Maps(*found)], batch, foreground_weight=weight)
        ours = torch.autograd.grad(loss, found)
        on = [batch.heatmaps.clone(), batch.pafs.unflatten(1, (-1, 2)).norm(dim=2).repeat_interleave(2, dim=1)]
        on[0][:, 18] = 1 - on[0][:, 18]
        squares = [
            (((maps - target) ** 2) * mask * (1 + (weight - 1) * share)).sum()
            for maps, target, share in zip(found, (batch.heatmaps, batch.pafs), on, strict=True)
        ]
        plain = torch.stack(squares).sum() / (2 * mask.numel())
        torch.testing.assert_close(loss, plain)
        torch.testing.assert_close(ours, torch.autograd.grad(plain, found))


def test_gradients_can_be_differentiated_again() -> None:
    """A product with the Hessian is that of the loss as one writes it down: error^2 / (2 x batch x cells), summed."""
    torch.manual_seed(0)
    batch = batch_of(2)
    source = torch.randn(2, 19, CELLS, CELLS, requires_grad=True)
    vector = torch.randn_like(source)

    def ours(heatmaps: torch.Tensor) -> torch.Tensor:
        return pose_loss([Maps(heatmaps, batch.pafs.float())], batch)[0]

    def plainly(heatmaps: torch.Tensor) -> torch.Tensor:
        return (heatmaps - batch.heatmaps.float()).pow(2).sum() / (2 * 2 * CELLS**2)

    results = []
    for loss in (ours, plainly):
        (gradient,) = torch.autograd.grad(loss(source.tanh()), source, create_graph=True)
        results.append((gradient, *torch.autograd.grad(gradient, source, grad_outputs=vector)))
    torch.testing.assert_close(*results)
