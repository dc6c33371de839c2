"""Writes the small pictures of this folder and, as NAME.rgb, what Pillow makes of them.

16-bit gray is the one that we read otherwise (high byte; Pillow saturates): its .rgb is ours.
Needs Pillow and NumPy; the files are committed, tests do not run this.
"""
import struct
import zlib

import numpy as np
from PIL import Image

W, H = 13, 9
y, x, c = np.mgrid[0:H, 0:W, 0:4]
four = ((x * 19 + y * 29 + c * 61 + x * y * 3) & 255).astype(np.uint8)
smooth = np.clip(x * 16 + y * 5 + c * 20, 0, 255).astype(np.uint8)


def expect(name, pixels):
    np.ascontiguousarray(pixels, np.uint8).tofile(name + ".rgb")


def as_pillow(file):
    expect(file.split(".")[0], np.asarray(Image.open(file).convert("RGB")))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(file, depth, color, rows, extra=b""):
    data = zlib.compress(b"".join(b"\0" + r for r in rows))
    head = struct.pack(">IIBBBBB", W, H, depth, color, 0, 0, 0)
    with open(file, "wb") as f:
        f.write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + extra + chunk(b"IDAT", data) + chunk(b"IEND", b""))


Image.fromarray(smooth, "CMYK").save("cmyk.jpg", quality=95)
Image.fromarray(smooth[:, :, :3]).save("baseline.jpg", quality=90)
Image.fromarray(smooth[:, :, :3]).save("progressive.jpg", quality=90, progressive=True)
Image.fromarray(smooth[:, :, 0]).save("gray.jpg", quality=90)
Image.fromarray(four, "RGBA").save("rgba.png")
Image.fromarray(four[:, :, :2], "LA").save("la.png")
palette = Image.fromarray(four[:, :, :3]).quantize(16)
palette.info["transparency"] = 3
palette.save("palette.png", transparency=3)
bits = four[:, :, 0] > 100
png("gray1.png", 1, 0, [np.packbits(r).tobytes() for r in bits])
deep = four.astype(">u2") * 256 + four[::-1].astype(">u2")
png("rgb16.png", 16, 2, [r[:, :3].astype(">u2").tobytes() for r in deep])
png("gray16.png", 16, 0, [r[:, 0].astype(">u2").tobytes() for r in deep])
for file in ("cmyk.jpg", "baseline.jpg", "progressive.jpg", "gray.jpg", "rgba.png", "la.png",
             "palette.png", "gray1.png", "rgb16.png"):
    as_pillow(file)
expect("gray16", np.repeat(four[:, :, :1], 3, axis=2))
exif = Image.Exif()
exif[0x0112] = 6
Image.fromarray(smooth[:, :, :3]).save("turned.jpg", quality=90, exif=exif)
expect("turned", np.rot90(np.asarray(Image.open("turned.jpg")), -1))
