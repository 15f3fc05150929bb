"""Fixtures of the trainings."""

import pytest
from learning_models import torch_model


@pytest.fixture
def judged(monkeypatch):
    """Given costs instead of measured ones; the arguments of every call."""
    asked = []

    def measured(model, branches, others, batches, budget):
        asked.append((list(branches), list(others), batches, budget))
        return [-0.1, 0.1, -0.0004]

    monkeypatch.setattr("msa_learning.train.training.swap_costs", measured)
    return asked


@pytest.fixture
def model():
    return torch_model()
