import random

import numpy as np
import torch
from torch import nn

from mixmae_mm.apis.contexts import evaluation_mode


def states():
    return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()


def test_modes_gradients_and_random_states_are_restored_also_after_an_error():
    model = nn.Sequential(nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 3)))
    model[1].eval()
    model[1][1].training = True  # a frozen part with a part that is not
    before, modes = states(), [module.training for module in model.modules()]
    for fails in (False, True):
        try:
            with evaluation_mode(model):
                assert not any(module.training for module in model.modules())
                assert not model(torch.ones(2, 3)).requires_grad
                random.random(), np.random.rand(), torch.rand(())
                if fails:
                    raise RuntimeError
        except RuntimeError:
            assert fails
        assert states() == before
        assert [module.training for module in model.modules()] == modes
        assert torch.is_grad_enabled()


def test_what_is_compiled_for_training_is_not_compiled_again():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph.forward

    class Doubles(nn.Linear):  # PyTorch leaves its own modules out
        def forward(self, x):
            return 2 * super().forward(x)

    model = Doubles(3, 3)
    model.compile(backend=backend, fullgraph=True)
    model(torch.ones(2, 3))
    assert len(graphs) == 1
    with evaluation_mode(model):
        model(torch.ones(5, 3))
        model(torch.ones(4, 2, 3))
    model(torch.ones(2, 3))
    assert len(graphs) == 1
