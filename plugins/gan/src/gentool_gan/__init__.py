"""Generative adversarial networks for gentool."""
