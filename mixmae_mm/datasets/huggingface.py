"""Hugging Face datasets with an image column: WebDataset tar shards, parquet files, datasets of the Hub."""

import os
from pathlib import Path
from typing import Any

from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.datasets.image_dataset import ImageDataset
from mixmae_mm.datasets.transforms.load_image import CorruptImageError
from mixmae_mm.registry import DATASETS
from mixmae_mm.utils.names import printable
from mixmae_mm.utils.optional import need


@DATASETS.register_module()
class HuggingFaceImages(ImageDataset):
    """Images of one split of a Hugging Face dataset, decoded by our transforms in the same way as files.

    A folder written by `save_to_disk` is memory-mapped in place; anything else is passed to `datasets.load_dataset`: a
    folder of parquet files, tar shards or zip files, or a name on the Hub. Paths look like `data_root/train/17`.

    Args:
        data_root: The folder, or a name on the Hub.
        split: Split of the dataset.
        column: Column that holds the images; by default the only one that does.
        name: Configuration of the dataset, if it has several.
    """

    def __init__(
        self,
        data_root: str,
        *args: Any,
        split: str = 'train',
        column: str | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        self.split, self.column, self.name = split, column, name
        super().__init__(data_root, *args, **settings)

    def load_data_list(self) -> Listing:
        """Open the dataset, find its image column, and number its rows."""
        datasets = need('datasets', 'HuggingFaceImages')
        if int(datasets.__version__.partition('.')[0]) < 4:
            raise ImportError(f'datasets {datasets.__version__} may run scripts: pip install "datasets>=4"')
        rows = self._load(datasets)
        images = [name for name, feature in rows.features.items() if isinstance(feature, datasets.Image)]
        wanted = images if self.column is None else [name for name in rows.features if name == self.column]
        if len(wanted) != 1 or not len(rows):
            raise ValueError(
                f'{self.data_root!r} has {len(rows)} rows, columns {", ".join(rows.features)}, and images in '
                f'{", ".join(images) or "none"}: name one with column=..., got {self.column}'
            )
        rows = rows.select_columns(wanted).rename_columns({wanted[0]: 'image'})
        self.rows = rows.cast_column('image', datasets.Image(decode=False)) if wanted[0] in images else rows
        split = os.fsencode(self.split)
        return Listing(self.data_root, b''.join(b'%s/%d\0' % (split, row) for row in range(len(rows))))

    def _load(self, datasets: Any) -> Any:
        """Open the split."""
        saved = any(os.path.exists(os.path.join(self.data_root, file)) for file in ('state.json', 'dataset_dict.json'))
        if not saved:
            return datasets.load_dataset(self.data_root, self.name, split=self.split)
        rows = datasets.load_from_disk(self.data_root)
        return rows[self.split] if isinstance(rows, dict) else rows

    def bytes_of(self, image: dict) -> bytes:
        """Return the bytes of a row's image, or those of the file that it names."""
        try:
            cell = self.rows[int(image['img_path'].rpartition('/')[2])]['image']
            content = cell if isinstance(cell, bytes) else cell['bytes']
            return Path(cell['path']).read_bytes() if content is None else content
        except Exception as error:  # corrupt storage makes its reader raise nearly anything
            raise CorruptImageError(f'{printable(image["img_path"])}: {type(error).__name__}: {error}') from error
