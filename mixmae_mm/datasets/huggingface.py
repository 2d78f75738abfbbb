"""Hugging Face datasets with a column of images as a dataset."""

import os
from typing import Any

from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.datasets.image_dataset import ImageDataset
from mixmae_mm.registry import DATASETS
from mixmae_mm.utils.optional import need


@DATASETS.register_module()
class HuggingFaceImages(ImageDataset):
    """The images of one split of a Hugging Face dataset, decoded by our transforms as files are.

    A folder written by `save_to_disk` is mapped from where it lies; anything else goes to `datasets.load_dataset`:
    a folder of parquet files, for one, or a name on the hub. Paths look like `data_root/train/17`, split and row.
    Needs `pip install datasets`.

    Args:
        data_root: The folder, or a name on the hub.
        split: Of the dataset.
        column: Which holds the images; by default the only one that does.
        name: Of the dataset's configuration, where there are several.
        settings: Of `ImageDataset`.

    Raises:
        ValueError: there is no such dataset, split or column, several columns of images, or no rows.
        ImportError: datasets is not installed.
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
        if not isinstance(split, str) or not split:
            raise ValueError(f'split names a part of the dataset, such as "train", got {split!r}')
        self.split, self.column, self.name = split, column, name
        super().__init__(data_root, *args, **settings)

    def load_data_list(self) -> Listing:
        """Open the dataset, find its images, and number its rows."""
        datasets = need('datasets', 'HuggingFaceImages')
        if int(datasets.__version__.partition('.')[0]) < 4:
            raise ImportError(
                f'datasets {datasets.__version__} may run a script that lies beside the data: '
                'pip install "datasets>=4"'
            )
        table = self._load(datasets)
        images = [name for name, feature in table.features.items() if isinstance(feature, datasets.Image)]
        wanted = images if self.column is None else [name for name in table.features if name == self.column]
        if len(wanted) != 1 or not len(table):
            raise ValueError(
                f'{self.data_root!r} has {len(table)} rows, columns {", ".join(table.features)}, and images in '
                f'{", ".join(images) or "none"}: name one with column=..., got {self.column}'
            )
        self.column = wanted[0]
        table = table.select_columns(wanted)
        self.table = table.cast_column(self.column, datasets.Image(decode=False)) if wanted[0] in images else table
        split = os.fsencode(self.split)
        return Listing.of(self.data_root, b''.join(b'%s/%d\0' % (split, row) for row in range(len(table))))

    def _load(self, datasets: Any) -> Any:
        """Open the split."""
        saved = any(os.path.exists(os.path.join(self.data_root, file)) for file in ('state.json', 'dataset_dict.json'))
        if not saved:
            try:
                return datasets.load_dataset(self.data_root, self.name, split=self.split)
            except ImportError:
                raise
            except Exception as error:  # of the library, of the network, or of whatever lies there
                raise ValueError(
                    f'{self.data_root!r} cannot be opened as a Hugging Face dataset: {type(error).__name__}: {error}. '
                    'Give a folder that save_to_disk wrote, one of parquet files or images, or a name on the hub'
                ) from error
        table = datasets.load_from_disk(self.data_root)
        if not isinstance(table, dict):
            return table
        if self.split not in table:
            raise ValueError(f'{self.data_root!r} has no split {self.split!r}: set split to one of {", ".join(table)}')
        return table[self.split]

    def read(self, image: dict) -> bytes:
        """Return the bytes of a row's image, or those of the file that it names.

        Raises:
            ValueError: the row holds neither.
        """
        cell = self.table[int(image['img_path'].rpartition('/')[2])][self.column]
        content, path = (cell.get('bytes'), cell.get('path')) if isinstance(cell, dict) else (cell, None)
        if isinstance(content, bytes):
            return content
        if path is None:
            raise ValueError(f'the row holds {type(cell).__name__} in {self.column!r}, no image')
        with open(path, 'rb') as file:
            return file.read()
