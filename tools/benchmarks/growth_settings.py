"""What `growth.py` varies, one thing at a time around the base models at 224 px.

A batch shares the weights' gradients, so that an image costs less in a larger one: the settings of a factor take
equally many images (but nine, not eight, where three make a mixture), and few where an image is dear.
"""

from dataclasses import dataclass, replace

from contenders import SIZE, SWINS, VITS, Contender, mixedae, mixmae

FACTORS = {
    'batch': 'batch (images)',
    'resolution': 'side of an image (px)',
    'sources': 'sources of a mixture',
    'size': 'parameters (millions)',
    'window': 'side of a stage 1 window (tokens)',
}
"""What is varied, as a plot names it; each is an attribute of `Setting`."""


@dataclass(frozen=True)
class Setting:
    """A model, and the images of its step."""

    method: str
    sources: int
    batch: int = 8
    resolution: int = SIZE
    size: str = 'base'
    window: int = 14

    def contender(self) -> Contender:
        """Say how it is built. MixedAE of one source is MAE."""
        if self.method == 'mixedae':
            return mixedae(self.sources, self.sources > 1, self.size, self.resolution)
        # at 224 px the maps are 56, 28, 14 and 7 tokens wide
        windows = self.window, self.window, min(self.window, 14), 7
        return mixmae(self.size, self.resolution, self.sources, window_sizes=windows)

    @property
    def on_curve(self) -> bool:
        """Whether a slope is fitted to it too: not to MAE, which, unlike mixtures, encodes a part of its cells."""
        return self.sources > 1


BASES = {'mixmae': Setting('mixmae', sources=2), 'mixedae': Setting('mixedae', sources=4)}
COSTLY = {('batch', 32), ('resolution', 448), ('size', 'huge')}


def list_settings(method: str, factor: str, small: bool) -> dict[str, Setting]:
    """Return the settings of a factor by their names, the base's among them; none where a method has no such factor.

    With `small` those are left out that take nearly half of the time.
    """
    few = replace(BASES[method], batch=4)
    # of four images MixedAE's step would hold little but gradients, which do not grow with the images' sides
    images = 4 if method == 'mixmae' else 8
    values = {
        'batch': [replace(few, batch=batch) for batch in (4, 8, 16, 32)],
        'resolution': [replace(few, resolution=side, batch=images) for side in (128, 224, 320, 448)],
        'size': [replace(few, size=arch) for arch in (SWINS if method == 'mixmae' else VITS)],
    }
    if method == 'mixmae':
        values['sources'] = [replace(few, sources=sources, batch=batch) for sources, batch in ((2, 8), (3, 9), (4, 8))]
        values['window'] = [replace(few, window=side) for side in (7, 14, 28)]
    else:
        values['sources'] = [replace(few, sources=sources, batch=8) for sources in (1, 2, 4, 8)]
    named = {getattr(setting, factor): setting for setting in values.get(factor, ())}
    return {str(value): setting for value, setting in named.items() if not (small and (factor, value) in COSTLY)}


def name_base(method: str, factor: str) -> str:
    """Return the name of the setting that the others are measured by."""
    return str(getattr(BASES[method], factor))
