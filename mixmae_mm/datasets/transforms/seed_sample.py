"""The transform that makes augmentation a pure function of the run's seed and the sample's position."""

from mmcv.transforms import BaseTransform

from mixmae_mm.datasets.samplers.seeded import SeededIndex
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.seed import seed_cpu


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """Seed Python, numpy and torch from the seed that the sample's index carries; goes first in a pipeline.

    Augmentations then do not repeat between epochs, and do not change with the number of workers or with a resume.
    Where mmengine draws another sample for one that a pipeline rejects, the first one's seed goes on.
    """

    def __init__(self) -> None:
        self.has_seeded = False

    def transform(self, results: dict) -> dict:
        """Seed, and hand the sample on as it is; raise ValueError if its index carries no seed."""
        index = results.get('sample_idx')
        if isinstance(index, SeededIndex):
            seed_cpu(index.seed)
            self.has_seeded = True
        elif not self.has_seeded:
            raise ValueError(
                f'SeedSample needs an index with a seed, got {index!r}: set the sampler of this loader to '
                "dict(type='mixmae_mm.SeededSampler', shuffle=True), or to mixmae_mm.SeededInfiniteSampler for a loop "
                'over iterations, or take SeedSample out of its pipeline'
            )
        return results
