"""Writes the data set fixtures beside this script, and oracle.json: what each reader must find in them.

Needs numpy, scipy, h5py, pillow, torch and safetensors. Run it from anywhere; equal versions give equal numbers.
"""

import csv
import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile

import h5py
import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file
from scipy.io import savemat
from torch.utils.data import Subset, TensorDataset

HERE = os.path.dirname(os.path.abspath(__file__))
RNG = np.random.default_rng(20240607)
ORACLE = {}


def path(*parts):
    full = os.path.join(HERE, *parts)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    return full


def expect(name, split, inputs, labels, classes=None):
    """Inputs as a network sees them (float32, bytes divided by 255)."""
    values = np.asarray(inputs)
    if values.dtype == np.uint8:
        values = values.astype(np.float32) / np.float32(255)
    values = values.astype(np.float32)
    weights = np.arange(1, values.size + 1, dtype=np.float64) / values.size
    ORACLE.setdefault(name, {})[split] = {
        "shape": list(values.shape),
        "labels": [int(label) for label in labels],
        "sum": float(values.astype(np.float64).sum()),
        "weighted": float((values.astype(np.float64).ravel() * weights).sum()),
        "first": [float(v) for v in values.ravel()[:4]],
        "classes": classes or [],
    }


def pictures(count, channels, height, width):
    return RNG.integers(0, 256, (count, channels, height, width), dtype=np.uint8)


def labels(count, classes):
    return RNG.integers(0, classes, count)


def idx():
    for name, split, count in [("train", "train", 7), ("t10k", "test", 5)]:
        x, y = pictures(count, 1, 6, 5), labels(count, 10)
        images = struct.pack(">HBBIII", 0, 8, 3, count, 6, 5) + x.tobytes()
        classes = struct.pack(">HBBI", 0, 8, 1, count) + y.astype(np.uint8).tobytes()
        for kind, data in [("images-idx3-ubyte", images), ("labels-idx1-ubyte", classes)]:
            if split == "train":
                with open(path("idx", f"{name}-{kind}.gz"), "wb") as file:
                    file.write(gzip.compress(data, mtime=0))
            else:
                with open(path("idx", f"{name}-{kind}"), "wb") as file:
                    file.write(data)
        expect("idx", split, x, y)


def cifar():
    names = ["plane", "car", "bird"]
    for kind, width in [("cifar10-bin", 1), ("cifar100-bin", 2)]:
        batches = [("data_batch_1.bin", "train"), ("data_batch_2.bin", "train"), ("test_batch.bin", "test")]
        if width == 2:
            batches = [("train.bin", "train"), ("test.bin", "test")]
        gathered = {}
        for file_name, split in batches:
            x, y = pictures(2, 3, 32, 32), labels(2, 10 if width == 1 else 100)
            with open(path(kind, file_name), "wb") as file:
                for picture, label in zip(x, y):
                    file.write(bytes([7] * (width - 1) + [int(label)]) + picture.tobytes())
            gathered.setdefault(split, []).append((x, y))
        for split, parts in gathered.items():
            expect(kind, split, np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]))
    gathered = {}
    for file_name, split in [("data_batch_1", "train"), ("data_batch_2", "train"), ("test_batch", "test")]:
        x, y = pictures(2, 3, 32, 32), labels(2, 3)
        batch = {b"data": x.reshape(2, -1), b"labels": [int(v) for v in y], b"batch_label": b"a"}
        with open(path("cifar10-py", file_name), "wb") as file:
            pickle.dump(batch, file, protocol=2)
        gathered.setdefault(split, []).append((x, y))
    with open(path("cifar10-py", "batches.meta"), "wb") as file:
        pickle.dump({"label_names": names}, file, protocol=2)
    for split, parts in gathered.items():
        expect("cifar10-py", split, np.concatenate([p[0] for p in parts]), np.concatenate([p[1] for p in parts]), names)
    with tarfile.open(path("cifar10-py.tar.gz"), "w:gz") as archive:
        for name in ["batches.meta", "data_batch_1", "data_batch_2", "test_batch"]:
            archive.add(path("cifar10-py", name), "cifar-10-batches-py/" + name)
    ORACLE["cifar10-py.tar.gz"] = ORACLE["cifar10-py"]


def matlab():
    x, y = pictures(4, 3, 5, 6), np.array([10, 1, 2, 10])
    matrix = np.transpose(x, (2, 3, 1, 0))
    for name, packed in [("matlab/train_32x32.mat", True), ("matlab/plain_32x32.mat", False)]:
        savemat(path(name), {"X": matrix, "y": y.astype(np.uint8).reshape(-1, 1)}, do_compression=packed)
        expect(name, "train" if packed else "all", x, y % 10)
    savemat(path("matlab/double_32x32.mat"), {"X": matrix, "y": y.astype(np.float64).reshape(-1, 1)})
    expect("matlab/double_32x32.mat", "all", x, y % 10)
    flat = RNG.standard_normal((4, 6))
    savemat(path("matlab/flat.mat"), {"x_test": flat, "y_test": np.arange(4, dtype=np.int32)}, do_compression=True)
    expect("matlab/flat.mat", "test", flat, range(4))
    # Version 7.3: HDF5 behind 512 bytes of MATLAB's own, axes reversed.
    with h5py.File(path("matlab/test_v73.mat"), "w", userblock_size=512) as file:
        file["X"] = np.transpose(x, (0, 1, 3, 2))
        file["y"] = y.astype(np.float64).reshape(1, -1)
    with open(path("matlab/test_v73.mat"), "r+b") as file:
        file.write(b"MATLAB 7.3 MAT-file, for tests".ljust(124) + struct.pack("<HH", 0x0200, 0x4D49))
    expect("matlab/test_v73.mat", "test", x, y % 10)


def tensors():
    x, y = RNG.standard_normal((6, 2, 3)).astype(np.float32), labels(6, 4)
    other = x[:4] * 2
    save_file({"x_test": x, "y_test": y, "rot.x_val": other, "rot.y_val": y[:4]}, path("named.safetensors"))
    np.savez_compressed(path("named.npz"), x_test=x, y_test=y, **{"rot.x_val": other, "rot.y_val": y[:4]})
    for name in ["named.safetensors", "named.npz"]:
        expect(name, "test", x, y)
        expect(name, "rot.val", other, y[:4])
    last = RNG.integers(0, 256, (3, 5, 4, 3), dtype=np.uint8)
    grey = RNG.integers(0, 256, (3, 5, 4), dtype=np.uint8)
    np.savez(path("pictures.npz"), train_images=last, train_labels=np.array([[1], [0], [2]]), test_images=grey,
             test_labels=np.array([[1], [0], [2]], dtype=np.uint8))
    expect("pictures.npz", "train", np.transpose(last, (0, 3, 1, 2)), [1, 0, 2])
    expect("pictures.npz", "test", grey[:, None], [1, 0, 2])
    with h5py.File(path("groups.h5"), "w") as file:
        file["train/x"], file["train/y"] = x, y
        file["test/x"], file["test/y"] = other, y[:4]
    expect("groups.h5", "train", x, y)
    expect("groups.h5", "test", other, y[:4])
    with zipfile.ZipFile(path("inner.zip"), "w") as archive:
        archive.write(path("named.npz"), "folder/b.npz")


def torch_files():
    x, y = torch.tensor(RNG.standard_normal((6, 1, 3, 3)), dtype=torch.float32), torch.tensor(labels(6, 4))
    torch.save({"trainset": TensorDataset(x, y), "testset": TensorDataset(x[:2] * 3, y[:2]),
                "valset": Subset(TensorDataset(x, y), [4, 0, 5])}, path("dataset.pt"))
    expect("dataset.pt", "train", x.numpy(), y)
    expect("dataset.pt", "test", (x[:2] * 3).numpy(), y[:2])
    expect("dataset.pt", "val", x.numpy()[[4, 0, 5]], y.numpy()[[4, 0, 5]])
    torch.save({"images": x, "labels": y}, path("test_plain.pt"))
    expect("test_plain.pt", "test", x.numpy(), y)
    torch.save((x, y), path("pair.pt"))
    expect("pair.pt", "all", x.numpy(), y)
    torch.save({"x_test": x, "y_test": y}, path("legacy.pt"), _use_new_zipfile_serialization=False)
    expect("legacy.pt", "test", x.numpy(), y)


def comma_separated():
    x, y = RNG.standard_normal((5, 3)).round(3), [2, 0, 1, 1, 0]
    with open(path("csv", "train.csv"), "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["a", "label", 'b "quoted", with comma', "c"])
        writer.writerows([[row[0], label, row[1], row[2]] for row, label in zip(x, y)])
    with open(path("csv", "test.csv"), "w", newline="") as file:
        csv.writer(file).writerows([["a", "label", "b", "c"], [1.5, 2, -1, 1e-3]])
    expect("csv", "train", x, y)
    expect("csv", "test", np.array([[1.5, -1, 1e-3]]), [2])
    with open(path("species.csv"), "w") as file:
        file.write('1,2,cat\r\n3,4,"ant"\r\n5,6,"dog, small"\r\n')
    expect("species.csv", "all", np.array([[1, 2], [3, 4], [5, 6]]), [1, 0, 2], ["ant", "cat", "dog, small"])


def image_folders():
    for split in ["train", "test"]:
        gathered = []
        for label, name in enumerate(["ant", "bee"]):
            for index in range(2):
                picture = RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8)
                file = path("images", split, name, f"{index}.png")
                Image.fromarray(picture).save(file)
                gathered.append((np.transpose(picture, (2, 0, 1)), label))
        expect("images", split, np.stack([g[0] for g in gathered]), [g[1] for g in gathered], ["ant", "bee"])
    with zipfile.ZipFile(path("images.zip"), "w") as archive:
        for folder, _, names in sorted(os.walk(path("images", "."))):
            for name in sorted(names):
                full = os.path.join(folder, name)
                archive.write(full, "wrapper/" + os.path.relpath(full, path("images", ".")))
    ORACLE["images.zip"] = ORACLE["images"]
    sizes = [(7, 9), (12, 5), (16, 16)]
    resized = []
    for index, (height, width) in enumerate(sizes):
        ramp = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(ramp).save(path("mixed", "only", f"{index}.png"))
        plane = torch.tensor(ramp).permute(2, 0, 1)[None].float()
        resized.append(torch.nn.functional.interpolate(
            plane, (6, 8), mode="bilinear", antialias=True, align_corners=False)[0].numpy())
    expect("mixed", "all", np.stack(resized) / np.float32(255), [0, 0, 0], ["only"])


def pictures_alone():
    """Every kind of PNG and JPEG, and the pixels Pillow reads from it."""
    yy, xx = np.mgrid[0:13, 0:11]
    smooth = np.stack([xx * 20, yy * 18, (xx + yy) * 10], -1).astype(np.uint8)
    made = {}

    def keep(name, image, channels, **options):
        buffer = io.BytesIO()
        image.save(buffer, **options)
        with open(path("pictures", name), "wb") as file:
            file.write(buffer.getvalue())
        buffer.seek(0)
        read = Image.open(buffer)
        pixels = np.asarray(read.convert("L" if channels == 1 else "RGB"))
        made[name] = {
            "width": 11, "height": 13, "channels": channels, "sum": int(pixels.astype(np.int64).sum()),
            "crc": int(__import__("zlib").crc32(pixels.tobytes())),
        }

    rgb = Image.fromarray(smooth)
    keep("rgb.png", rgb, 3, format="PNG")
    keep("grey.png", rgb.convert("L"), 1, format="PNG")
    keep("palette.png", rgb.convert("P", palette=Image.Palette.ADAPTIVE, colors=7), 3, format="PNG")
    keep("bits.png", rgb.convert("1"), 1, format="PNG")
    keep("rgb.jpg", rgb, 3, format="JPEG", quality=90)
    keep("grey.jpg", rgb.convert("L"), 1, format="JPEG", quality=80)
    keep("progressive.jpg", rgb, 3, format="JPEG", quality=85, progressive=True)
    keep("full.jpg", rgb, 3, format="JPEG", quality=95, subsampling=0)
    ORACLE["pictures"] = made
    alpha = np.dstack([smooth, np.full((13, 11), 128, np.uint8)])
    Image.fromarray(alpha).save(path("pictures", "alpha.png"))
    Image.fromarray(smooth).convert("CMYK").save(path("pictures", "cmyk.jpg"))
    sixteen = (np.arange(143, dtype=np.uint32) * 400).astype(np.uint16).reshape(13, 11)
    Image.fromarray(sixteen).save(path("pictures", "sixteen.png"))


def text():
    with open(path("reviews.jsonl"), "w") as file:
        file.write('{"text": "good", "label": 1}\n\n{"text": "b\\u00e4d", "label": 0}\n')
    with open(path("pairs.jsonl"), "w") as file:
        file.write('{"sentence1": "a", "sentence2": "b", "score": 0.5}\n{"sentence1": "c", "sentence2": "d"}\n')
    with open(path("triplets.jsonl"), "w") as file:
        file.write('{"query": "q", "positive": "p", "negatives": ["n", "m"]}\n{"query": "q", "positive": "p", "negative": "n"}\n')


def main():
    for step in [idx, cifar, matlab, tensors, torch_files, comma_separated, image_folders, pictures_alone, text]:
        step()
    with open(path("oracle.json"), "w") as file:
        json.dump(ORACLE, file, indent=1)
        file.write("\n")


if __name__ == "__main__":
    main()
