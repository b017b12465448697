"""The smallest real model and trainer: a line fitted to points."""

import torch

from gentool.training import load_optimizer_state, optimizer_state


class TinyModel(torch.nn.Module):
    """y = a x + b."""

    def __init__(self):
        super().__init__()
        self.line = torch.nn.Linear(1, 1)

    @classmethod
    def from_config(cls, config):
        return cls()

    def get_config(self):
        return {}

    @property
    def networks(self):
        return {"line": self.line}


class TinyTrainer:
    """Fits y = 3 x - 1; noise drawn in the step shows whether random state is resumed."""

    def __init__(self, poison=None):
        torch.manual_seed(0)
        self.model = TinyModel()
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=0.1)
        self.poison = poison  # the step at which the loss becomes nan
        self.seen = []

    def batches(self, seed, start):
        step = start
        while True:
            generator = torch.Generator().manual_seed(seed + step)
            yield step, torch.rand(16, 1, generator=generator)
            step += 1

    def step(self, batch, progress):
        step, x = batch
        self.seen.append(step)
        target = 3 * x - 1 + 0.01 * torch.randn_like(x)
        loss = (self.model.line(x) - target).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return {"loss": float("nan") if step == self.poison else loss.item()}

    def preview(self):
        from gentool.artifacts import Grid

        return [Grid([torch.rand(3, 8, 8)])]

    def state(self):
        return dict(self.model.state_dict()) | optimizer_state(self.optimizer)

    def load_state(self, state):
        own = {n: t for n, t in state.items() if n.startswith("line.")}
        self.model.load_state_dict(own)
        load_optimizer_state(self.optimizer, state)
