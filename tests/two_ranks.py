"""Run by torchrun in test_distributed.py: a training in two processes, and what each saw."""

import json
import sys
from pathlib import Path

import torch

from gentool import Trainer
from gentool.training import Plan, Update, train
from gentool.training.distributed import leave


class Net(torch.nn.Module):
    """No BatchNorm, whose statistics would be each process's own."""

    def __init__(self):
        super().__init__()
        self.net = torch.nn.Sequential(
            torch.nn.Conv2d(1, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(16, 1)
        )
        self.critic = torch.nn.Linear(16, 1)

    @classmethod
    def from_config(cls, config):
        return cls()

    def get_config(self):
        return {}

    @property
    def networks(self):
        return {"net": self.net}


class Two(Trainer):
    """Two updates, as in a GAN; remembers samples and gradients."""

    def __init__(self, options, setup):
        torch.manual_seed(3)
        self.model, self.setup = Net(), setup
        images = torch.rand(70, 1, 4, 4, generator=torch.Generator().manual_seed(0))
        self.datasets = ([(i, image) for i, image in enumerate(images)],)
        self.seen, self.gradients = [], []
        self.updates = (
            self.update("critic", {"critic": self.model.critic}, self.judge),
            self.update("net", self.model.networks, self.loss),
        )

    def update(self, name, nets, loss):
        parameters = [p for net in nets.values() for p in net.parameters()]
        optimizer = torch.optim.SGD(parameters, lr=0.01)
        optimizer.register_step_pre_hook(lambda *_: self.remember(parameters))
        return Update(nets, optimizer, loss, name=name)

    def remember(self, parameters):
        self.gradients.append([p.grad.flatten().tolist() for p in parameters])

    def judge(self, moment, batch):
        number, image = batch
        self.seen += number.tolist()
        return self.model.critic(image.flatten(1)).square().mean(), {}

    def loss(self, moment, batch):
        _, image = batch
        # the critic lies on the way, as in a generator's loss
        made = self.model.net(image)
        judged = self.model.critic(image.flatten(1) * made)
        return (judged - image.mean((1, 2, 3))[:, None]).square().mean(), {"mean": made.mean()}


def main(run, batch, epochs, *flags):
    trainers = []

    def build(options, setup):
        trainers.append(Two(options, setup))
        return trainers[0]

    plan = Plan(batch_size=int(batch), epochs=float(epochs), log_every=1, resume="resume" in flags)
    done = train("two", build, None, plan, run, device="cpu", precision="fp32")
    trainer = trainers[0]
    rank = trainer.setup.group.rank
    facts = {"seen": trainer.seen, "gradients": trainer.gradients, "done": done}
    Path(f"{run}-rank{rank}.json").write_text(json.dumps(facts))
    leave(0)


if __name__ == "__main__":
    main(*sys.argv[1:])
