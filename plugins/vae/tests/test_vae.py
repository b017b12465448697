"""The VAE's networks, likelihoods, losses and figures."""

import math

import pytest
import torch

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
    model = VAE(Config(size=size, latent=5, width=8, prior_width=8))
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


def test_the_flow_learns_which_latents_there_are():
    torch.manual_seed(0)
    prior = Prior(2, 32, 1)
    optimizer = torch.optim.Adam(prior.parameters(), 3e-3)
    latents = torch.randn(512, 2) * torch.tensor([0.2, 1.0]) + torch.tensor([2.0, -1.0])
    for _ in range(300):
        optimizer.zero_grad()
        prior.loss(latents).backward()
        optimizer.step()
    drawn = prior.flow(torch.randn(2000, 2))
    assert torch.allclose(drawn.mean(0), latents.mean(0), atol=0.15)
    assert torch.allclose(drawn.std(0), latents.std(0), atol=0.15)


def test_posterior_samples_have_its_mean_and_variance():
    torch.manual_seed(0)
    posterior = Posterior(torch.full((20_000, 1), 3.0), torch.full((20_000, 1), math.log(0.25)))
    drawn = posterior.sample()
    assert drawn.mean().item() == pytest.approx(3, abs=0.02)
    assert drawn.std().item() == pytest.approx(0.5, abs=0.02)
    again = [posterior.sample(torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*again)
    assert not torch.equal(again[0], drawn)
