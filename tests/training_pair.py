"""Two processes that train together, each with a config of its own."""

import os
from importlib import import_module
from multiprocessing import get_context

from micro_training import free_port


def start_two(module, *configs):
    """Start both; `module` registers what the configs name."""
    port = free_port()
    processes = [
        get_context('spawn').Process(target=_train, args=(rank, port, module, configs[rank])) for rank in (0, 1)
    ]
    for process in processes:
        process.start()
    return processes


def _train(rank, port, module, config):
    """Be one of them."""
    place = dict(RANK=rank, LOCAL_RANK=rank, WORLD_SIZE=2, MASTER_ADDR='127.0.0.1', MASTER_PORT=port)
    os.environ.update({name: str(value) for name, value in place.items()})
    import_module('mixmae_mm.utils.compat').apply()  # before mmengine
    import_module(module)
    config.launcher = 'pytorch'
    import_module('mixmae_mm.utils.launching').join_processes(config)
    import_module('training_toys').run_until(config)
