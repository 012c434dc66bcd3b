"""Writes archives/: the same five files in every container, small enough for a test to damage every byte.

Run with Python 3.11 or later, the zstd command and libarchive: python make_archives.py
"""

import ctypes
import io
import json
import lzma
import bz2
import gzip
import pathlib
import subprocess
import tarfile
import zipfile
import zlib

FOLDER = pathlib.Path(__file__).parent / "archives"
LONG = "trial_" + "long_" * 22 + "0/" + "checkpoint_" + "deep_" * 20 + "000025/checkpoints"
FILES = {
    "zoo/trial_0/params.json": b'{"lr": 0.001, "seed": 0}\n' * 4,
    "zoo/trial_0/checkpoint_000025/.is_checkpoint": b"",
    "zoo/trial_0/checkpoint_000025/checkpoints": bytes(range(256)) * 3,
    "zoo/trial_é/notes": "Größe".encode(),
    LONG: b"weights",
}
TIME = 1_700_000_000


def tar(format, files=FILES):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=format) as archive:
        folder = tarfile.TarInfo("zoo/")
        folder.type, folder.mtime = tarfile.DIRTYPE, TIME
        archive.addfile(folder)
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mtime = len(data), TIME
            archive.addfile(info, io.BytesIO(data))
    # Python pads to 10 kB; two zero blocks are enough.
    whole = out.getvalue()
    return whole[: len(whole.rstrip(b"\0")) + (-len(whole.rstrip(b"\0"))) % 512 + 1024]


def zipped(files=FILES, method=zipfile.ZIP_DEFLATED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        if files is FILES:
            archive.writestr(zipfile.ZipInfo("zoo/", (2023, 11, 14, 22, 13, 20)), b"")
        for name, data in files.items():
            info = zipfile.ZipInfo(name, (2023, 11, 14, 22, 13, 20))
            info.compress_type = method if len(data) > 20 else zipfile.ZIP_STORED
            info.create_system = 3
            archive.writestr(info, data)
    return out.getvalue()


def seven_zip(files=FILES):
    """7z through libarchive."""
    lib = ctypes.CDLL("libarchive.so.13")
    for function in ("archive_write_new", "archive_entry_new"):
        getattr(lib, function).restype = ctypes.c_void_p
    lib.archive_write_data.restype = ctypes.c_ssize_t
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    archive = pointer(lib.archive_write_new())
    assert lib.archive_write_set_format_7zip(archive) == 0
    assert lib.archive_write_set_options(archive, b"compression=lzma2") == 0
    buffer, used = ctypes.create_string_buffer(1 << 20), size(0)
    assert lib.archive_write_open_memory(archive, buffer, size(len(buffer)), ctypes.byref(used)) == 0
    for name, data in files.items():
        entry = pointer(lib.archive_entry_new())
        lib.archive_entry_set_pathname_utf8(entry, name.encode())
        lib.archive_entry_set_filetype(entry, 0o100000)
        lib.archive_entry_set_perm(entry, 0o644)
        lib.archive_entry_set_size(entry, ctypes.c_int64(len(data)))
        lib.archive_entry_set_mtime(entry, ctypes.c_int64(TIME), ctypes.c_long(0))
        assert lib.archive_write_header(archive, entry) == 0, name
        assert lib.archive_write_data(archive, data, size(len(data))) == len(data)
        lib.archive_entry_free(entry)
    assert lib.archive_write_close(archive) == 0
    return buffer.raw[: used.value]


def torch_like(stem):
    """The skeleton of a torch.save file: what tells it from a zip of files."""
    return zipped({f"{stem}/data.pkl": b"\x80\x02}.", f"{stem}/version": b"3\n"}, zipfile.ZIP_STORED)


def main():
    FOLDER.mkdir(exist_ok=True)
    plain = tar(tarfile.PAX_FORMAT)
    small = {"trial/params.json": b"{}", "trial/checkpoints": b"0123456789"}
    inner_tar = tar(tarfile.USTAR_FORMAT, small)
    nested = {
        "a/inner.tar": inner_tar,
        "a/inner.tar.gz": gzip.compress(inner_tar, mtime=0),
        "b/stored.zip": zipped(small | {"deep.tar": inner_tar}, zipfile.ZIP_STORED),
        "b/model.zip": torch_like("model"),
        "b/broken.zip": b"PK\x03\x04 and no more",
        "b/notes.zip": b"not an archive at all",
        "plain": b"plain",
    }
    out = {
        "files.zip": zipped(),
        "files-pax.tar": plain,
        "files-gnu.tar": tar(tarfile.GNU_FORMAT),
        "files.tar.gz": gzip.compress(plain, mtime=0),
        "files.tar.xz": lzma.compress(plain),
        "files.tar.bz2": bz2.compress(plain),
        "files.tar.zst": subprocess.run(["zstd", "-q", "--check"], input=plain, capture_output=True, check=True).stdout,
        "files.7z": seven_zip(),
        "nested-stored.tar": tar(tarfile.USTAR_FORMAT, nested),
        "nested-deflated.zip": zipped(nested),
        "expected.json": json.dumps(
            [{"path": name, "bytes": len(data), "crc32": zlib.crc32(data)} for name, data in FILES.items()],
            ensure_ascii=False, indent=1).encode(),
    }
    for name, data in out.items():
        (FOLDER / name).write_bytes(data)
        print(name, len(data))


main()
