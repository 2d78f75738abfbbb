"""Models for programs without this package: ONNX and torch.export, each for images of one size, in batches of any.

Windows and position embeddings are computed for one size in Python, so that each size takes a file of its own.
"""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import numpy as np
import torch
from torch.export import Dim, ExportedProgram

from mixmae_mm.apis.portable import Portable
from mixmae_mm.structures import Size
from mixmae_mm.utils.atomic_write import put_in_place

OPSET = 18
"""Which ONNX operators are used: those that PyTorch's exporter itself is written for."""
LARGEST = 2**31 - 2**20
"""Bytes of weights that fit into an ONNX file; those of larger models lie in a second file beside it."""
INPUT, METADATA = 'images', 'mixmae_mm.json'


def trace(portable: Portable, size: Size) -> ExportedProgram:
    """Trace a model for images of one size, in batches of any.

    Raises:
        ValueError: an invalid size.
    """
    shapes = ({0: Dim('batch')},)
    with torch.no_grad():
        return torch.export.export(portable, (portable.example(size),), dynamic_shapes=shapes, strict=False)


def export_program(portable: Portable, out: str | Path, size: Size, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a file for `torch.export.load`.

    Args:
        portable: What to export.
        out: The file, .pt2; one that is there is replaced.
        size: Height and width in pixels.
        metadata: Texts to keep in it; `torch.export.load(out, extra_files={'mixmae_mm.json': ''})` gives them as JSON.

    Raises:
        ValueError: another extension, or an invalid size.
    """
    check_extension(out, '.pt2')
    return write_program(trace(portable, size), out, metadata)


def export_onnx(
    portable: Portable, out: str | Path, size: Size, metadata: Mapping[str, str] | None = None, opset: int = OPSET
) -> Path:
    """Write an ONNX file, and check it.

    Args:
        portable: What to export.
        out: The file, .onnx; one that is there is replaced. Weights of more than 2 GB lie beside it, in `out`.data.
        size: Height and width in pixels.
        metadata: Texts to keep in it.
        opset: Version of the operators.

    Raises:
        ImportError: onnx or onnxscript is not installed.
        ValueError: another extension, or an invalid size.
    """
    check_extension(out, '.onnx')
    import_onnx()
    return write_onnx(trace(portable, size), out, portable.outputs, metadata, opset)


def write_program(program: ExportedProgram, out: str | Path, metadata: Mapping[str, str] | None = None) -> Path:
    """Write a program as `export_program` does."""
    with beside(Path(out)) as file:
        torch.export.save(program, file, extra_files={METADATA: json.dumps(dict(metadata or {}))})
    return Path(out)


def write_onnx(
    program: ExportedProgram,
    out: str | Path,
    outputs: Sequence[str],
    metadata: Mapping[str, str] | None = None,
    opset: int = OPSET,
) -> Path:
    """Write a program as `export_onnx` does."""
    onnx = import_onnx()
    names = dict(input_names=[INPUT], output_names=list(outputs), dynamic_shapes=({0: 'batch'},))
    graph = torch.onnx.export(program, **names, opset_version=opset, dynamo=True, verbose=False)
    graph.model.metadata_props.update(metadata or {})
    weights = sum(x.numel() * x.element_size() for x in program.state_dict.values())
    with beside(Path(out)) as file:
        graph.save(str(file), external_data=weights > LARGEST)
        onnx.checker.check_model(str(file), full_check=True)
    return Path(out)


def compare_onnx(path: str | Path, portable: Portable, size: Size, batches: Sequence[int] = (1, 3)) -> dict[str, float]:
    """Compute how far onnxruntime's outputs are from PyTorch's, on the CPU, for images of noise.

    Returns:
        For each output the largest difference, over the largest value that PyTorch gives.

    Raises:
        ImportError: onnxruntime is not installed.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise ImportError('to compare needs onnxruntime: pip install onnxruntime') from error
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    furthest = dict.fromkeys(portable.outputs, 0.0)
    for batch in batches:
        images = portable.example(size, batch, seed=batch)
        with torch.no_grad():
            expected = portable(images)
        given = session.run(list(portable.outputs), {INPUT: images.numpy()})
        for name, theirs, ours in zip(portable.outputs, given, expected, strict=True):
            furthest[name] = max(furthest[name], _difference(theirs, ours.numpy()))
    return furthest


def _difference(given: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest difference over the largest value; infinite where a number is NaN."""
    difference = float(np.abs(given - expected).max() / np.abs(expected).max())
    return difference if np.isfinite(difference) else float('inf')


def check_extension(out: str | Path, extension: str) -> None:
    """Check the extension of a file to write.

    Raises:
        ValueError: it is another one.
    """
    if Path(out).suffix != extension:
        raise ValueError(f'{out} should end in {extension}')


def import_onnx() -> ModuleType:
    """Import onnx, if all that its export needs is installed.

    Raises:
        ImportError: something is missing.
    """
    try:
        onnx, _ = (importlib.import_module(name) for name in ('onnx', 'onnxscript'))
    except ImportError as error:
        raise ImportError(f'export to ONNX needs {error.name}: pip install onnx onnxscript onnxruntime') from error
    return onnx


@contextmanager
def beside(out: Path) -> Iterator[Path]:
    """Yield a temporary path for a file; it and all files beside it are moved to `out` at the end."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=out.parent, prefix='.unfinished-') as folder:
        file = Path(folder, out.name)
        yield file
        for written in sorted(Path(folder).iterdir(), key=lambda written: written == file):  # the file itself last
            put_in_place(written, out.with_name(written.name))
