"""Zip and tar archives of images, WebDataset's shards among them, as a dataset."""

from mixmae_mm.datasets.archives import ArchiveListing, list_archives, read_member
from mixmae_mm.datasets.image_dataset import ImageDataset, check_exists
from mixmae_mm.registry import DATASETS


@DATASETS.register_module()
class ImageArchive(ImageDataset):
    """The images in a zip or tar file, or in all such files below a folder, read where they lie.

    They come in the order in which `ImageFolder` would list the unpacked archives; paths look like
    `shards/a.tar/dir/x.jpg`. Of WebDataset's shards the images are taken, and what else belongs to a sample is left
    alone. Tar files must not be compressed; zip files may be stored or deflated.

    Settings are those of `ImageDataset`; `data_root` is the archive, or a folder with archives at any depth.

    Raises:
        ValueError: there is no archive or no image, or an archive is corrupt, encrypted, or compressed as a whole.
    """

    def load_data_list(self) -> ArchiveListing:
        """List the images of all archives."""
        check_exists(self.data_root)
        return list_archives(self.data_root, self.extensions)

    def read(self, image: dict) -> bytes:
        """Read an image's bytes out of its archive."""
        return read_member(image.pop('archive'), image.pop('place'))
