"""Reads the bar codes of an SVG file with zxing-cpp, an implementation of its own.

usage: read_codes.py LABEL.svg PIXELS_PER_MM

Prints a JSON list of {format, symbology, bytes}: the symbol's kind, its AIM
identifier (`]d2` is GS1 DataMatrix) and the exact bytes it holds, in hex.
"""

import io
import json
import sys

import resvg_py
import zxingcpp
from PIL import Image

with open(sys.argv[1], encoding="utf-8") as file:
    svg = file.read()
png = resvg_py.svg_to_bytes(svg_string=svg, dpi=float(sys.argv[2]) * 25.4, background="white")
image = Image.open(io.BytesIO(bytes(png))).convert("L")
found = [
    {"format": str(code.format), "symbology": code.symbology_identifier, "bytes": code.bytes.hex()}
    for code in zxingcpp.read_barcodes(image)
]
print(json.dumps(found))
