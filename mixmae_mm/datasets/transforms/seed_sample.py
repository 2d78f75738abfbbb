"""The transform that makes augmentation a pure function of the run's seed and the sample's position."""

from mmcv.transforms import BaseTransform

from mixmae_mm.datasets.samplers.seeded import SeededIndex
from mixmae_mm.registry import TRANSFORMS
from mixmae_mm.utils.seed import seed_cpu


@TRANSFORMS.register_module()
class SeedSample(BaseTransform):
    """Seed Python, NumPy and torch with the seed that the sample's index carries; comes first in a pipeline.

    Augmentations then differ between epochs, but depend neither on the number of workers nor on whether a run was
    resumed. If a pipeline rejects a sample, the one that mmengine draws instead continues the first one's random
    stream.
    """

    def __init__(self) -> None:
        self.has_seeded = False

    def transform(self, results: dict) -> dict:
        """Seed, and return the sample unchanged; raise ValueError if no index has carried a seed yet."""
        index = results.get('sample_idx')
        if isinstance(index, SeededIndex):
            seed_cpu(index.seed)
            self.has_seeded = True
        elif not self.has_seeded:
            raise ValueError(
                f'SeedSample needs an index with a seed, got {index!r}: set the sampler of this loader to '
                "dict(type='mixmae_mm.SeededSampler', shuffle=True), or to mixmae_mm.SeededInfiniteSampler for a loop "
                'over iterations, or remove SeedSample from its pipeline'
            )
        return results
