"""Zip and tar archives of pictures, WebDataset's shards among them, as a dataset."""

from mixmae_mm.datasets.archives import ArchiveListing, list_archives, read_member
from mixmae_mm.datasets.image_dataset import PictureDataset, check_exists
from mixmae_mm.registry import DATASETS


@DATASETS.register_module()
class PictureArchive(PictureDataset):
    """The pictures in a zip or tar file, or in all such files below a folder, read where they lie.

    They come in the order in which `PictureFolder` would list the unpacked archives; paths look like
    `shards/a.tar/dir/x.jpg`. Of WebDataset's shards the pictures are taken, and what else belongs to a sample is left
    alone. Tar files must not be compressed; zip files may be stored or deflated.

    Settings are those of `PictureDataset`; `data_root` is the archive, or a folder with archives at any depth.

    Raises:
        ValueError: there is no archive or no picture, or an archive is damaged, encrypted, or compressed as a whole.
    """

    def load_data_list(self) -> ArchiveListing:
        """List the pictures of all archives."""
        check_exists(self.data_root)
        return list_archives(self.data_root, self.endings)

    def read(self, picture: dict) -> bytes:
        """Read a picture's bytes out of its archive."""
        return read_member(picture.pop('archive'), picture.pop('place'))
