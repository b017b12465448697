"""One step: accumulation, several updates, clipping, fp16, schedules."""

import pytest
import torch

from gentool import TrainingError
from gentool.compute import Compute, choose
from gentool.training import Moment, Plan, Setup, Update
from gentool.training.stepper import Stepper


def setup(**plan):
    return Setup(Plan(**plan), choose("cpu", "fp32"))


def test_accumulated_batches_give_the_gradient_of_one_large_batch():
    torch.manual_seed(0)
    net, x = torch.nn.Linear(4, 2), torch.rand(16, 4)

    def gradient(batches):
        update = Update(
            {"net": net},
            torch.optim.SGD(net.parameters(), lr=0.0),
            lambda moment, batch: (net(batch).square().mean(), {}),
        )
        scalars = Stepper([update], setup())(Moment(0, 0.0), batches)
        return net.weight.grad.clone(), scalars["loss"]

    whole, loss = gradient([[x]])
    parts, mean = gradient([[x[:8]], [x[8:]]])
    torch.testing.assert_close(whole, parts)
    torch.testing.assert_close(loss, mean)


def test_two_updates_alternate_and_leave_each_other_alone():
    """A generator's loss runs through the discriminator, whose gradients it must not touch."""
    torch.manual_seed(0)
    one, two = torch.nn.Linear(2, 2), torch.nn.Linear(2, 1)
    frozen = torch.nn.Linear(2, 2).requires_grad_(False)
    order = []

    def loss(name):
        def compute(moment, batch):
            order.append((name, moment.step))
            return two(one(frozen(batch))).mean(), {"term": batch.sum()}

        return compute

    def update(name, nets, **more):
        parameters = [p for net in nets.values() for p in net.parameters() if p.requires_grad]
        return Update(nets, torch.optim.SGD(parameters, lr=0.1), loss(name), name=name, **more)

    updates = [update("d", {"two": two}), update("g", {"one": one, "frozen": frozen}, every=2)]
    stepper = Stepper(updates, setup())
    before = two.weight.clone()
    scalars = stepper(Moment(0, 0.0), [[torch.rand(3, 2)]])
    terms = {f"{name} {term}" for name in "dg" for term in ("loss", "gradient", "term")}
    assert set(scalars) == terms
    after_d = before - 0.1 * two.weight.grad
    torch.testing.assert_close(two.weight, after_d)  # only d's own step moved it
    assert not frozen.weight.requires_grad
    assert frozen.weight.grad is None
    assert "g loss" not in stepper(Moment(1, 0.5), [[torch.rand(3, 2)]])
    assert order == [("d", 0), ("g", 0), ("d", 1)]


def test_updates_and_terms_that_would_hide_each_other_are_refused():
    net = torch.nn.Linear(1, 1)

    def update(name, term="term"):
        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
        return Update({"net": net}, optimizer, lambda m, b: (net(b).sum(), {term: 1.0}), name=name)

    for names in (("", ""), ("a", "a")):
        with pytest.raises(TrainingError, match="several updates need a name each"):
            Stepper([update(name) for name in names], setup())
    stepper = Stepper([update("", "loss")], setup())
    with pytest.raises(TrainingError, match="rename the term"):
        stepper(Moment(0, 0.0), [[torch.ones(1, 1)]])


def test_clipping_limits_the_gradient_and_logs_it_before():
    net = torch.nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.0)
    update = Update({"net": net}, optimizer, lambda m, b: (100 * net(b).sum(), {}))
    scalars = Stepper([update], setup(clip=2.0))(Moment(0, 0.0), [[torch.ones(1, 1)]])
    assert scalars["gradient"].item() == pytest.approx(100)
    assert net.weight.grad.item() == pytest.approx(2.0, rel=1e-4)


def test_fp16_scales_the_loss_and_skips_a_step_whose_gradients_overflow():
    net = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.ones_(net.weight)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    update = Update({"net": net}, optimizer, lambda m, b: (net(b).sum(), {"double": 2.0}))
    half = Setup(Plan(), Compute(torch.device("cpu"), torch.float16))
    stepper = Stepper([update], half)
    scale = stepper.scaler.get_scale()
    stepper(Moment(0, 0.0), [[torch.ones(1, 1)]])
    assert net.weight.item() == pytest.approx(0.9)  # the gradient of 1 was scaled and scaled back
    scalars = stepper(Moment(1, 0.0), [[torch.full((1, 1), 1e38)]])
    assert scalars["gradient"] == 0  # it overflowed, which is nothing to stop for
    assert net.weight.item() == pytest.approx(0.9)
    assert stepper.scaler.get_scale() == scale / 2


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [("constant", [1, 1, 1]), ("linear", [1, 0.55, 0.1]), ("cosine", [1, 0.55, 0.1])],
)
def test_learning_rates_follow_the_schedule(schedule, rates):
    stepper = Stepper([], setup(lr_schedule=schedule, lr_final=0.1))
    found = [stepper.rate(Moment(10, share)) for share in (0.0, 0.5, 1.0)]
    assert found == pytest.approx(rates)
    rising = Stepper([], setup(lr_warmup=3))
    assert [rising.rate(Moment(i, 0.0)) for i in range(5)] == [0.25, 0.5, 0.75, 1, 1]
