"""Distinct files for the drawings of images that have the same name in different folders."""

import functools
import os
from collections.abc import Callable
from inspect import signature

from mmengine.runner import Runner


def keep_apart(runner: Runner) -> None:
    """Number equal file names of different images in all hooks of a runner that draw predictions.

    The hooks of downstream libraries name drawings after images without their folders. The first image with a name
    keeps it, others get `-2`, `-3` and so on.
    """
    for hook in runner.hooks:
        visualizer = getattr(hook, '_visualizer', None)
        for name in ('add_datasample', 'visualize_cls'):  # of mmdet and mmseg, of mmpretrain
            if hasattr(visualizer, name):
                setattr(visualizer, name, _distinct(getattr(visualizer, name)))


def _distinct(draw: Callable) -> Callable:
    """Wrap a drawing method so that each image gets its own name, or its own file if `out_file` is given."""
    owners: dict[str, str] = {}

    @functools.wraps(draw)
    def draw_apart(*args: object, **settings: object) -> object:
        call = signature(draw).bind_partial(*args, **settings)
        key = 'out_file' if call.arguments.get('out_file') else 'name'
        stem, extension = os.path.splitext(call.arguments[key])
        image, number = str(call.arguments['data_sample'].get('img_path')), 1
        while owners.setdefault(call.arguments[key], image) != image:
            number += 1
            call.arguments[key] = f'{stem}-{number}{extension}'
        return draw(*call.args, **call.kwargs)

    return draw_apart
