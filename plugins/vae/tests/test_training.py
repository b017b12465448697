"""The VAE's trainer: learns, keeps its stages apart, resumes; real tiny data."""

import json
import shutil

import pytest
import torch

import gentool
from gentool import weights
from gentool.cli.main import invoke
from gentool.compute import choose
from gentool.progress import Progress
from gentool.training import Moment, Plan, Setup
from gentool.training.data.feed import feeds
from gentool.training.stepper import Stepper
from gentool_vae.nets import VAE
from gentool_vae.options import TrainOptions
from gentool_vae.trainer import VAETrainer

SMALL = {"size": 16, "latent": 6, "width": 16}


def build(photos, **changed):
    plan = Plan(data=[str(photos)], batch_size=8)
    setup = Setup(plan, choose("cpu", "fp32"))
    torch.manual_seed(0)
    trainer = VAETrainer(TrainOptions(**{**SMALL, **changed}), setup)
    batches = [[next(feed) for feed in feeds(trainer.datasets, setup, 0, Progress())]]
    return trainer, Stepper(trainer.updates, setup), batches


def test_all_terms_fall_and_every_parameter_learns(photos):
    trainer, stepper, batches = build(photos)
    seen = [stepper(Moment(step, 0.0), batches) for step in range(36)]
    for term in ("bound loss", "bound bits/dim", "samples loss"):
        assert seen[-1][term] < seen[0][term]
    assert seen[-1]["bound bits/dim"] < 9
    for name, parameter in trainer.model.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name


def test_the_prior_is_fitted_to_the_latents_of_the_training(photos):
    trainer, _, batches = build(photos, components=2)
    before = trainer.model.prior.means.clone()
    with torch.no_grad():
        trainer.calibrate()
        latents = trainer.model.encode(batches[0][0].pictures).mean
    prior = trainer.model.prior
    assert not torch.equal(prior.means, before)
    whole = prior.shares @ prior.means
    assert (whole - latents.mean(0)).abs().max() < latents.std()


def test_details_leave_encoder_and_decoder_alone(photos):
    trainer, stepper, batches = build(photos)
    with_them = [stepper(Moment(step, 0.0), batches) for step in range(3)]
    trainer.model.requires_grad_(True)
    trainer.model.zero_grad()
    total, _ = trainer.samples(Moment(3, 0.0), batches[0][0])
    total.backward()
    assert all(p.grad is None for p in trainer.model.encoder.parameters())
    assert all(p.grad is None for p in trainer.model.decoder.parameters())
    assert {"bound kl", "bound reconstruction", "samples loss"} <= set(with_them[0])


def test_the_scale_does_not_pull_at_the_mean(photos):
    trainer, _, batches = build(photos)
    _, own, _ = trainer.bound_terms(batches[0][0].pictures)
    own.mean().backward()
    moved = {n for n, p in trainer.model.named_parameters() if p.grad is not None}
    assert moved == {"decoder.log_scale.weight", "decoder.log_scale.bias"}


def test_beta_warm_up_and_free_bits_weigh_the_divergence(photos):
    def loss(step=0, **changed):
        trainer, _, batches = build(photos, **changed)
        torch.manual_seed(1)
        total, terms = trainer.bound(Moment(step, 0.0), batches[0][0])
        return total.item(), terms

    plain, terms = loss()
    share = terms["kl"].item() / (3 * 16 * 16)
    assert loss(beta=0.0)[0] == pytest.approx(plain - share, abs=1e-5)
    assert loss(beta=3.0)[0] == pytest.approx(plain + 2 * share, abs=1e-4)
    assert loss(kl_warmup=4)[0] == pytest.approx(plain - 0.75 * share, abs=1e-5)
    assert loss(kl_warmup=4, step=9)[0] == pytest.approx(plain, abs=1e-6)
    generous, same = loss(free_bits=50.0)
    assert generous == pytest.approx(plain - share + 6 * 50 / (3 * 16 * 16), abs=1e-4)
    assert same["kl"].item() == pytest.approx(terms["kl"].item())  # what is logged is the truth


def arguments(photos, run, *more):
    words = ["train", "vae", "--data", photos, "-o", run, "--size", 16, "--latent", 6]
    words += ["--width", 16, "--batch-size", 4, "--precision", "fp32", "--device", "cpu"]
    words += ["--checkpoint-every", 2, "--preview-every", 4, "--log-every", 1, *more]
    return [str(word) for word in words]


def test_a_folder_of_photographs_becomes_a_model_that_samples(photos, tmp_path):
    run = tmp_path / "run"
    assert invoke(arguments(photos, run, "--steps", 4)) == 0
    assert (run / "previews/0000004.png").stat().st_size > 500
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert any("bits/dim" in line.get("validation", {}) for line in lines)
    made = gentool.load("vae", weights=run, device="cpu", seed=0).sample(n=3, layout="each")
    assert [image.tensor.shape for image in made] == [(3, 16, 16)] * 3


def test_a_resumed_training_equals_an_uninterrupted_one(photos, tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert invoke(arguments(photos, whole, "--steps", 4, "--sample-every", 2)) == 0
    assert invoke(arguments(photos, parts, "--steps", 4, "--sample-every", 2)) == 0
    shutil.rmtree(parts / "checkpoints/0000004", ignore_errors=True)
    for late in (parts / "checkpoints").glob("*4*"):
        late.unlink() if late.is_file() else shutil.rmtree(late)
    assert invoke(arguments(photos, parts, "--steps", 4, "--sample-every", 2, "--resume")) == 0
    a, b = (weights.load(VAE, run / "weights.safetensors", "vae") for run in (whole, parts))
    for name, tensor in a.state_dict().items():
        assert torch.equal(tensor, b.state_dict()[name]), name


def test_a_side_that_is_no_power_of_two_is_refused(photos, tmp_path, capsys):
    assert invoke(arguments(photos, tmp_path / "run", "--steps", 1, "--size", 24)) == 2
    assert "--size: must be a power of two, got 24" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
