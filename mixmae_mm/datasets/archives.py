"""Zip and tar archives as images at offsets: listed once, in flat memory, and read without unpacking.

Nothing stays open between two reads, so that loader workers, forked or spawned, have nothing to share.
"""

import os
import tarfile
import time
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from mmengine.logging import print_log

from mixmae_mm.datasets.directory_walk import (
    EXTENSIONS,
    contents_of,
    describe,
    extension,
    files_below,
    is_hidden,
    is_image,
)
from mixmae_mm.datasets.file_list import Listing
from mixmae_mm.utils.names import printable

ARCHIVES = ('.zip', '.tar')
LOCAL_HEADER = 30  # bytes before the name of a zip file's member
IN_TAR = -1  # the method of a member that is there as it is
PLACE = np.dtype(
    [('archive', '<i4'), ('method', '<i4'), ('start', '<i8'), ('stored', '<i8'), ('size', '<i8'), ('crc', '<u4')]
)
Place = tuple[int, int, int, int, int]


class ArchiveListing(Listing):
    """Images in archives: a `Listing` with the place of each.

    Args:
        parts: What `Listing` takes.
        archives: The archives' paths.
        places: (P,) of `PLACE`: number of the archive, how the image is stored, where it starts, bytes there, bytes
            of the file, and its checksum.
    """

    def __init__(self, *parts: object, archives: list[str], places: np.ndarray) -> None:
        super().__init__(*parts)
        self.archives, self.places = archives, places

    def _at(self, positions: Sequence[int] | np.ndarray) -> 'ArchiveListing':
        """Choose other positions of the same arrays."""
        parts = (self.root, self.paths, self.starts, positions)
        return ArchiveListing(*parts, archives=self.archives, places=self.places)

    def __getitem__(self, index: int | slice) -> 'dict | ArchiveListing':
        """Return one image with its archive and its place in it, or a part of the listing."""
        found = super().__getitem__(index)
        if isinstance(found, Listing):
            return found
        archive, *place = self.places[self.positions[index]].tolist()
        return found | dict(archive=self.archives[archive], place=tuple(place))

    def __reduce__(self) -> tuple:
        """Pickle the arrays."""
        parts = (self.root, self.paths, self.starts, self.positions)
        return _unpickled, (parts, self.archives, self.places)


def _unpickled(parts: tuple, archives: list[str], places: np.ndarray) -> ArchiveListing:
    """Make a listing of what was pickled."""
    return ArchiveListing(*parts, archives=archives, places=places)


def list_archives(root: str, extensions: Sequence[str] | None = None) -> ArchiveListing:
    """List the images in an archive, or in all archives below a folder, as folders of these names would be listed.

    Raises:
        ValueError: there is no archive or no image, or an archive is corrupt, encrypted, or compressed as a whole.
    """
    start = time.perf_counter()
    archives, paths, places, seen = _find(root), bytearray(), [], Counter()
    for number, archive in enumerate(archives):
        lead = os.path.relpath(archive, root) + '/' if archive != root else ''
        files = files_in(archive)
        seen.update(extension(os.path.basename(name)) for name in files if not is_hidden(name))
        images = choose_images(files, extensions)
        paths += b''.join(os.fsencode(f'{lead}{name}\0') for name in images)
        places.append(np.array([(number, *place) for place in images.values()], PLACE))
    if not paths:
        raise ValueError(
            f'no image in the {len(archives)} archive(s) of {root!r}; images end in '
            f'{" ".join(extensions or EXTENSIONS)}'
        )
    plain = Listing.of(root, paths)
    listing = ArchiveListing(root, plain.paths, plain.starts, archives=archives, places=np.concatenate(places))
    listing.contents, seconds = contents_of(seen, extensions), time.perf_counter() - start
    where = f'in {len(archives)} archive(s) of {printable(root)}'
    print_log(f'{len(plain):,} images {where} ({listing.contents}), listed in {seconds:.1f} s', 'current')
    return listing


def _find(root: str) -> list[str]:
    """Name the archives."""
    files = list(files_below(root)) if os.path.isdir(root) else [root]
    extensions = [extension(os.path.basename(file)) for file in files]
    archives = [file for file, its in zip(files, extensions, strict=True) if its in ARCHIVES]
    if not archives:
        raise ValueError(
            f'no archive in {root!r}: it holds {describe(Counter(extensions))}; archives end in {" ".join(ARCHIVES)} '
            '(in either case). Compressed tar files cannot be read from the middle: uncompress them (gunzip a.tar.gz), '
            'images are compressed already'
        )
    return archives


def choose_images(files: dict[str, Place], extensions: Sequence[str] | None = None) -> dict[str, Place]:
    """Choose the images among an archive's files, in the order of folders."""
    images = (name for name in files if is_image(name, extensions))
    return {name: files[name] for name in sorted(images, key=lambda name: name.split('/'))}


def files_in(archive: str) -> dict[str, Place]:
    """Return the names of an archive's files and their places; of equal names the last.

    Raises:
        ValueError: it is corrupt, or its images cannot be read.
    """
    kind = _in_zip if extension(os.path.basename(archive)) == '.zip' else _in_tar
    try:
        return {os.path.normpath(name): place for name, place in kind(archive)}
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as error:
        raise ValueError(
            f'{archive} cannot be read ({error}): it is not a {extension(archive)[1:]} file, is cut off or compressed '
            'as a whole; copy or make it again, or take it away'
        ) from error


def _in_zip(archive: str) -> Iterator[tuple[str, Place]]:
    """Yield the files of a zip archive."""
    with zipfile.ZipFile(archive) as opened:
        for file in opened.infolist():
            if file.is_dir():
                continue
            if file.flag_bits & 1 or file.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                how = 'encrypted' if file.flag_bits & 1 else f'compressed by method {file.compress_type}'
                raise ValueError(f'{archive} is {how}: make it anew without, as by `zip -0 -r`')
            yield file.filename, (
                file.compress_type, file.header_offset, file.compress_size, file.file_size, file.CRC,
            )


def _in_tar(archive: str) -> Iterator[tuple[str, Place]]:
    """Yield the files of a tar archive; a link within it is the file that it leads to."""
    places: dict[str, Place] = {}
    with tarfile.open(archive, 'r:') as opened:
        for file in opened:
            opened.members = []  # tarfile would keep them all
            name = os.path.normpath(file.name)
            if file.isreg():
                places[name] = (IN_TAR, file.offset_data, file.size, file.size, 0)
            elif file.islnk() or file.issym():
                folder = os.path.dirname(name) if file.issym() else ''
                places[name] = places.get(os.path.normpath(os.path.join(folder, file.linkname)))
    return iter([(name, place) for name, place in places.items() if place])


def read_member(archive: str, place: Place) -> bytes:
    """Read one file of an archive.

    Raises:
        OSError: the archive cannot be opened.
        ValueError: it has changed, or is corrupt at that place.
    """
    method, start, stored, size, crc = place
    with open(archive, 'rb') as opened:  # buffered: a raw read may return less than was asked for
        opened.seek(start)
        if method != IN_TAR:
            header = opened.read(LOCAL_HEADER)
            opened.seek(int.from_bytes(header[26:28], 'little') + int.from_bytes(header[28:30], 'little'), os.SEEK_CUR)
        content = opened.read(stored)
    if method == zipfile.ZIP_DEFLATED:
        content = zlib.decompressobj(-zlib.MAX_WBITS).decompress(content, size + 1)
    if len(content) != size:
        raise ValueError(f'{len(content)} bytes are there and not {size}: the archive is cut off or has changed')
    if method != IN_TAR and zlib.crc32(content) != crc:
        raise ValueError('its checksum is wrong: the archive is damaged or has changed')
    return content
