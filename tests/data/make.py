"""Cuts the digits of this folder out of the full MNIST files.

    python3 tests/data/make.py DIRECTORY_OF_THE_FOUR_GZIP_FILES

Keeps, in file order, the first 40 training and the first 20 test digits of each class: 400 and 200.
The gzip headers carry neither a time nor a name, so that a rerun writes the same bytes.
"""

import gzip
import pathlib
import struct
import sys

HERE = pathlib.Path(__file__).resolve().parent
PIXELS = 28 * 28


def read(path, magic, header):
    data = gzip.decompress(path.read_bytes())
    assert struct.unpack(">I", data[:4])[0] == magic, path
    return data[header:]


def write(name, header, payload):
    with open(HERE / f"{name}.gz", "wb") as raw:
        with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=raw, mtime=0) as packed:
            packed.write(header + payload)


def cut(source, part, per_class):
    images = read(source / f"{part}-images-idx3-ubyte.gz", 0x803, 16)
    labels = read(source / f"{part}-labels-idx1-ubyte.gz", 0x801, 8)
    assert len(images) == len(labels) * PIXELS, part
    taken, kept = [0] * 10, []
    for row, label in enumerate(labels):
        if taken[label] < per_class:
            taken[label] += 1
            kept.append(row)
    assert taken == [per_class] * 10, part
    write(
        f"{part}-images-idx3-ubyte",
        struct.pack(">IIII", 0x803, len(kept), 28, 28),
        b"".join(images[row * PIXELS : (row + 1) * PIXELS] for row in kept),
    )
    write(
        f"{part}-labels-idx1-ubyte",
        struct.pack(">II", 0x801, len(kept)),
        bytes(labels[row] for row in kept),
    )


if len(sys.argv) != 2:
    sys.exit(__doc__)
cut(pathlib.Path(sys.argv[1]), "train", 40)
cut(pathlib.Path(sys.argv[1]), "t10k", 20)
