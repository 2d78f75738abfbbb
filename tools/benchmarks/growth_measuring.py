"""Measure the settings of `growth.py`: seconds, bytes and multiply-adds of an image, and how they grow."""

import argparse
import math
import os
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from multiprocessing import get_context

import torch
from contenders import Contender
from growth_settings import Setting, list_settings, name_base
from measuring import ALLOCATOR, in_turns, operations, peak_memory, ratio, step
from torch import Tensor, nn


@dataclass(frozen=True)
class Subject:
    """A model that has been warmed up."""

    contender: Contender
    model: nn.Module
    multiply_adds: float
    """Of an image's forward pass."""
    parameters: int


def make_images(setting: Setting, device: str) -> Tensor:
    """Make the images of a step: (B, 3, H, W)."""
    return torch.randn(setting.batch, 3, setting.resolution, setting.resolution, device=device)


def prepare(setting: Setting, args: argparse.Namespace) -> Subject:
    """Build a setting's model, count what it does, and take a small step."""
    contender = setting.contender()
    model = contender.build().to(args.device).train()
    few = make_images(replace(setting, batch=setting.sources), args.device)
    counted = operations(contender, model, few) / 6  # a step is three passes, a multiply-add two operations
    step(contender, model, few, args.half)
    return Subject(contender, model, counted, sum(parameter.numel() for parameter in model.parameters()))


def measure(method: str, factor: str, memory: Callable[[Setting], int], args: argparse.Namespace) -> list[dict]:
    """Return a row for each setting of a factor, costs for one image, also over those of the base."""
    settings = list_settings(method, factor, args.small)
    models = {name: replace(setting, batch=1) for name, setting in settings.items()}  # one serves all batches
    subjects = {model: prepare(model, args) for model in dict.fromkeys(models.values())}
    calls = {
        name: partial(
            step, subjects[model].contender, subjects[model].model, make_images(settings[name], args.device), args.half
        )
        for name, model in models.items()
    }
    times = in_turns(calls, args.repeats, warm_up=0)
    rows = {
        name: dict(method=method, factor=factor, name=name)
        | describe(factor, setting, subjects[models[name]], times[name], memory(setting))
        for name, setting in settings.items()
    }
    return relate(list(rows.values()), rows[name_base(method, factor)])


def describe(factor: str, setting: Setting, subject: Subject, times: list[float], most: int) -> dict:
    """Say what a setting is, and what an image costs there, given the seconds and the bytes of its steps."""
    return dict(
        value=subject.parameters / 1e6 if factor == 'size' else getattr(setting, factor),
        on_curve=setting.on_curve,
        setting=asdict(setting),
        all_seconds=[seconds / setting.batch for seconds in times],
        seconds=statistics.median(times) / setting.batch,
        bytes=most / setting.batch,
        multiply_adds=subject.multiply_adds,
    )


def relate(rows: list[dict], base: dict) -> list[dict]:
    """Add what each cost is of the base's."""
    for row in rows:
        time = ratio(row['all_seconds'], base['all_seconds'])
        counted = row['multiply_adds'] / base['multiply_adds']
        of_base = dict(seconds=time, bytes=row['bytes'] / base['bytes'], multiply_adds=counted)
        row.update(of_base=of_base, time_per_multiply_add=time / counted)
    return rows


def fit(rows: list[dict]) -> dict[str, float]:
    """Fit the exponent of each cost against the factor."""
    on_curve = [row for row in rows if row['on_curve']]
    values = [math.log(row['value']) for row in on_curve]
    costs = {cost: [math.log(row['of_base'][cost]) for row in on_curve] for cost in rows[0]['of_base']}
    return {cost: statistics.linear_regression(values, logarithms).slope for cost, logarithms in costs.items()}


def peak(setting: Setting, args: argparse.Namespace) -> int:
    """Measure the bytes of a setting's step, in the process that this is called in."""
    torch.set_num_threads(args.threads)
    return peak_memory(setting.contender(), make_images(setting, args.device), args.half)['step']


@contextmanager
def memory_meter(args: argparse.Namespace) -> Iterator[Callable[[Setting], int]]:
    """Return what measures a setting's memory, each in a process of its own, forked where nothing was computed yet."""
    os.environ.update(ALLOCATOR)  # for the server, which starts with the pool
    context = get_context('forkserver')
    context.set_forkserver_preload(['mixmae_mm', __name__])
    with context.Pool(1, maxtasksperchild=1) as pool:
        yield cache(lambda setting: pool.apply(peak, (setting, args)))
