"""The VAE's networks, likelihoods, losses and figures."""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from gentool import WeightsError, weights
from gentool_vae.energy import energy_score
from gentool_vae.likelihood import (
    bits_per_dimension,
    discretised_logistic,
    divergence,
    optimal_gaussian,
)
from gentool_vae.nets import VAE, Config, Posterior
from gentool_vae.prior import Prior


@pytest.mark.parametrize("size", [16, 32, 64])
def test_every_size_comes_back_in_its_size(size):
    model = VAE(Config(size=size, latent=5, width=8))
    posterior = model.encode(torch.rand(2, 3, size, size))
    assert posterior.mean.shape == posterior.log_variance.shape == (2, 5)
    decoded = model.decode(posterior.sample())
    assert decoded.mean.shape == decoded.log_scale.shape == (2, 3, size, size)
    assert model.sharpen(decoded, model.noise(2)).shape == (2, 3, size, size)


def test_two_default_sets_fit_into_the_budget_of_weights():
    counts = [sum(p.numel() for p in VAE(Config(size=s)).parameters()) for s in (32, 64)]
    assert 2 * sum(counts) < 6 * 2**20  # bytes, as float16


def test_a_config_is_checked_before_anything_is_built():
    with pytest.raises(WeightsError, match="power of two"):
        VAE.from_config({"size": 48})
    with pytest.raises(WeightsError, match="latent"):
        VAE.from_config({"latent": 10**9})


@pytest.mark.parametrize(("name", "size"), [("cifar10", 32), ("clothing96", 64)])
def test_the_packaged_weights_know_their_size(name, size):
    from gentool import plugins

    path, entry = weights.packaged(plugins.card("vae"), name)
    model = weights.load(VAE, path, "vae")
    assert model.config.size == entry.image_size == size
    assert model.config.latent == 128


def test_probabilities_of_all_bytes_add_up_to_one():
    levels = torch.arange(256.0)[:, None, None, None] / 255
    for mean, log_scale in ((0.3, -3.0), (0.0, -6.5), (1.3, -1.0)):
        nats = discretised_logistic(
            torch.full_like(levels, mean), torch.full_like(levels, log_scale), levels
        )
        assert (-nats).exp().sum().item() == pytest.approx(1, abs=1e-4)


def test_the_likelihood_is_finite_with_gradients_far_from_the_truth():
    mean = torch.zeros(1, 3, 4, 4, requires_grad=True)
    log_scale = torch.full((1, 3, 4, 4), -7.0, requires_grad=True)
    nats = discretised_logistic(mean, log_scale, torch.full((1, 3, 4, 4), 0.8))
    nats.sum().backward()
    assert nats.isfinite().all()
    assert mean.grad.isfinite().all()
    assert log_scale.grad.isfinite().all()


def test_divergence_is_that_of_torch():
    mean, log_variance = torch.randn(4, 7), torch.randn(4, 7)
    wanted = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (log_variance / 2).exp()),
        torch.distributions.Normal(0.0, 1.0),
    )
    assert torch.allclose(divergence(mean, log_variance), wanted, atol=1e-5)


def test_the_optimal_gaussian_is_the_best_of_all_deviations():
    torch.manual_seed(0)
    pictures, mean = torch.rand(4, 3, 8, 8), torch.rand(4, 3, 8, 8)
    error = (mean - pictures).square().mean()
    constant = 192 / 2 * (1 + math.log(2 * math.pi))

    def nats(deviation):
        normal = torch.distributions.Normal(mean, deviation)
        return -normal.log_prob(pictures).flatten(1).sum(1).mean().item()

    best = optimal_gaussian(mean, pictures).item() + constant
    assert best == pytest.approx(nats(error.sqrt()), rel=1e-5)
    assert best < min(nats(0.9 * error.sqrt()), nats(1.1 * error.sqrt()))


def test_eight_bits_a_value_are_eight_bits():
    pictures = torch.zeros(2, 3, 4, 4)
    nats = torch.full((2,), 48 * math.log(256))
    assert bits_per_dimension(nats, pictures).tolist() == pytest.approx([8, 8])


def test_the_energy_score_is_least_for_draws_of_the_truth():
    torch.manual_seed(0)

    def score(mean, deviation):
        draws = [mean + deviation * torch.randn(4000, 8, 1, 1) for _ in range(2)]
        return energy_score(torch.randn(4000, 8, 1, 1), *draws).item()

    right = score(0, 1)
    for mean, deviation in ((0, 0), (0, 0.6), (0, 1.5), (0.5, 1)):
        assert right < score(mean, deviation)


def sampled(prior, count=4000):
    latent = prior.means.shape[1]
    return prior(torch.rand(count), torch.randn(count, latent))


def test_the_prior_is_a_standard_normal_until_it_is_fitted():
    torch.manual_seed(0)
    drawn = sampled(Prior(2, 3))
    assert torch.allclose(drawn.T.cov(), torch.eye(2), atol=0.1)
    assert drawn.mean(0).abs().max() < 0.1


class Largest(TorchDispatchMode):
    """The most numbers that one operation of the body made."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        made = operation(*args, **(kwargs or {}))
        if isinstance(made, torch.Tensor):
            self.count = max(self.count, made.numel())
        return made


def test_many_latents_take_no_factor_each():
    torch.manual_seed(0)
    prior = Prior(32, 3)
    prior.fit(torch.randn(500, 32) * torch.linspace(0.1, 3, 32))
    chance, noise = torch.rand(100), torch.randn(100, 32)
    chosen = torch.searchsorted(prior.shares.cumsum(0), chance)
    wanted = prior.means[chosen] + (prior.factors[chosen] @ noise[:, :, None])[:, :, 0]
    with Largest() as largest:
        drawn = prior(chance, noise)
    assert torch.allclose(drawn, wanted, atol=1e-6)
    assert len(set(chosen.tolist())) == 3
    assert largest.count == noise.numel()


def test_the_fitted_prior_draws_latents_like_those_there_are():
    torch.manual_seed(0)
    middles = torch.tensor([[4.0, 0.0], [-4.0, 0.0]])
    shape = torch.tensor([[1.0, 0.0], [0.9, 0.3]])
    latents = middles[(torch.rand(20_000) < 0.25).long()] + torch.randn(20_000, 2) @ shape.T
    prior = Prior(2, 2)
    prior.fit(latents)
    assert sorted(prior.shares.tolist()) == pytest.approx([0.25, 0.75], abs=0.03)
    drawn = sampled(prior)
    assert ((drawn[:, 0] > 0).float().mean() - 0.75).abs() < 0.03
    right = drawn[drawn[:, 0] > 0]
    assert torch.allclose(right.mean(0), middles[0], atol=0.15)
    assert torch.allclose(right.T.cov(), shape @ shape.T, atol=0.3)


@pytest.mark.parametrize("latents", [torch.ones(1, 3), torch.ones(20, 3), torch.randn(2, 3)])
def test_few_or_equal_latents_make_a_prior_as_well(latents):
    prior = Prior(3, 5)
    prior.fit(latents)
    assert sampled(prior).isfinite().all()
    assert (sampled(prior).mean(0) - latents.mean(0)).abs().max() < 0.5


def test_latents_of_a_wide_range_have_a_prior():
    torch.manual_seed(0)
    latents = torch.randn(2000, 64) * torch.logspace(-2, 4, 64)
    prior = Prior(64, 3)
    prior.fit(latents)
    assert sampled(prior).isfinite().all()


def test_latents_that_are_not_finite_leave_the_prior_as_it_was():
    prior = Prior(3, 2)
    prior.fit(torch.tensor([[0.0, 1.0, float("nan")]]))
    assert torch.equal(prior.means, torch.zeros(2, 3))


def test_posterior_samples_have_its_mean_and_variance():
    torch.manual_seed(0)
    posterior = Posterior(torch.full((20_000, 1), 3.0), torch.full((20_000, 1), math.log(0.25)))
    drawn = posterior.sample()
    assert drawn.mean().item() == pytest.approx(3, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)
    again = [posterior.sample(torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*again)
    assert not torch.equal(again[0], drawn)
