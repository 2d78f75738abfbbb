"""Export of models to ONNX and torch.export, for programs without this package: one image size, any batch size.

Windows and position embeddings are computed in Python for one image size, so each size needs its own file.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from mixmae_mm.structures import Size
from mixmae_mm.utils.atomic_write import atomic_write, put_in_place
from mixmae_mm.utils.denormalize import is_of_photos
from mixmae_mm.utils.optional import need

OPSET = 18
"""Version of the ONNX operators that PyTorch's exporter is written for."""
TOLERANCE = 1e-4
"""Largest difference between onnxruntime and PyTorch, relative to the largest value, that passes as rounding."""
METADATA = 'mixmae_mm.json'


class ExportableModel(nn.Module):
    """A model in the form that is exported: from images (B, C, H, W) to a tensor for each of `outputs`, on the CPU.

    An encoder returns its maps (B, C, h, w) as `map_0`, `map_1`, ..., and the mean of the last as `pooled` (B, C); a
    classifier of mmpretrain returns `logits`. With `normalization`, the mean and std of each channel, images are uint8
    photos, or float32 if mean and std cannot be those of photos; without it, they are float32 and already normalized.
    Encoders that look for padding (`pad_value`) are refused with a `ValueError`.
    """

    def __init__(self, model: nn.Module, normalization: Mapping[str, Sequence[float]] | None = None) -> None:
        super().__init__()
        self.model, self.classifies = model.cpu(), hasattr(model, 'backbone')
        encoder = model.backbone if self.classifies else model
        if getattr(encoder, 'pad_value', None) is not None:
            raise ValueError(f'detecting padding of {encoder.pad_value} cannot be exported: build with pad_value=None')
        self.channels, self.normalizes = encoder.patch_embed.proj.in_channels, normalization is not None
        for name, numbers in (normalization or {}).items():
            if len(numbers) != self.channels:
                raise ValueError(f'{name} has {len(numbers)} numbers, but the images have {self.channels} channels')
            self.register_buffer(name, torch.tensor(numbers, dtype=torch.float32).view(-1, 1, 1))
        self.takes_bytes = self.normalizes and is_of_photos(self.mean, self.std)
        maps = [f'map_{number}' for number in range(len(encoder.out_indices))]
        self.outputs = ['logits'] if self.classifies else [*maps, 'pooled']
        self.eval()

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the outputs for images (B, C, H, W), in order."""
        images = (images.float() - self.mean) / self.std if self.normalizes else images
        if self.classifies:
            return (self.model(images, mode='tensor'),)
        maps = self.model(images)
        return *maps, maps[-1].mean((2, 3))

    def example(self, size: Size, batch: int = 2, seed: int = 0) -> Tensor:
        """Return noise with the dtype and scale of the inputs: (B, C, H, W)."""
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randint(0, 256, (batch, self.channels, *size), dtype=torch.uint8, generator=generator)
        if self.takes_bytes:
            return noise
        return (noise / 64 - 2) * self.std + self.mean if self.normalizes else noise / 64 - 2


def trace(exportable: ExportableModel, size: Size) -> ExportedProgram:
    """Trace a model for one image size and any batch size."""
    with torch.no_grad():
        dynamic = ({0: Dim('batch')},)
        return torch.export.export(exportable, (exportable.example(size),), dynamic_shapes=dynamic, strict=False)


def export_program(exportable: ExportableModel, out: str | Path, size: Size, metadata: Mapping | None = None) -> Path:
    """Write a file for `torch.export.load`, which reads `metadata` with `extra_files={'mixmae_mm.json': ''}`."""
    program = trace(exportable, size)
    Path(out).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(out) as file:
        torch.export.save(program, file, extra_files={METADATA: json.dumps(metadata or {})})
    return Path(out)


def export_onnx(
    exportable: ExportableModel, out: str | Path, size: Size, metadata: Mapping | None = None, opset: int = OPSET
) -> float:
    """Write a valid ONNX file if onnxruntime agrees with PyTorch, and return the largest relative difference.

    Large weights are stored next to it, in `out`.data. The file's metadata holds `metadata` as JSON, under the name
    'mixmae_mm.json'. If the outputs differ, raise ValueError and write nothing.
    """
    onnx, *_ = (need(name, 'export to ONNX') for name in ('onnx', 'onnxscript', 'onnxruntime'))
    program = trace(exportable, size)
    names = dict(input_names=['images'], output_names=exportable.outputs, dynamic_shapes=({0: 'batch'},))
    graph = torch.onnx.export(program, **names, opset_version=opset, dynamo=True, verbose=False)
    graph.model.metadata_props[METADATA] = json.dumps(metadata or {})
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix='.unfinished-') as folder:
        file = Path(folder, out.name)
        graph.save(str(file))
        onnx.checker.check_model(str(file), full_check=True)
        differences = compare_onnx(file, exportable, size)
        if max(differences.values()) > TOLERANCE:
            raise ValueError(f'onnxruntime and PyTorch differ by {differences} of the largest value: nothing written')
        for written in sorted(Path(folder).iterdir(), reverse=True):  # out.data first: the other file needs it
            put_in_place(written, out.with_name(written.name))
    return max(differences.values())


def compare_onnx(
    path: str | Path, exportable: ExportableModel, size: Size, batches: Sequence[int] = (1, 3)
) -> dict[str, float]:
    """Return the largest difference between onnxruntime and PyTorch for each output, relative to its largest value."""
    session = need('onnxruntime', 'to compare').InferenceSession(str(path), providers=['CPUExecutionProvider'])
    furthest = dict.fromkeys(exportable.outputs, 0.0)
    for batch in batches:
        images = exportable.example(size, batch, seed=batch)
        with torch.no_grad():
            expected = exportable(images)
        given = session.run(exportable.outputs, {'images': images.numpy()})
        for name, theirs, ours in zip(exportable.outputs, given, expected, strict=True):
            difference = float(np.abs(theirs - ours.numpy()).max() / ours.abs().max())
            furthest[name] = max(furthest[name], difference if np.isfinite(difference) else float('inf'))
    return furthest
