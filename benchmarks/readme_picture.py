"""The picture of the README: one frame of a group in the demo's shards, every forgery of it and its mask.

python -m benchmarks.readme_picture --shards work/demo/shards --out docs/images/demo.png
"""

import argparse
import io
import tarfile
from pathlib import Path

import matplotlib
import numpy as np
import pyarrow.parquet as pq
from PIL import Image

matplotlib.use("Agg")
import matplotlib.pyplot as plt

METHODS = ("real", "Deepfakes", "FaceShifter", "FaceSwap", "Face2Face", "NeuralTextures")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--group", default="youtube/001")
    parser.add_argument("--compression", default="c23")
    arguments = parser.parse_args()
    rows = pq.read_table(arguments.shards / "index.parquet").to_pylist()
    chosen = [
        row for row in rows if row["group"] == arguments.group and row["compression"] == arguments.compression
    ]
    frame = sorted({row["frame"] for row in chosen})[8]
    by_method = {row["method"]: row for row in chosen if row["frame"] == frame}
    figure, axes = plt.subplots(2, len(METHODS), figsize=(12, 4.35), layout="constrained")
    for column, method in zip(axes.T, METHODS, strict=True):
        row = by_method[method]
        with tarfile.open(arguments.shards / row["shard"]) as tar:
            images = {}
            for name in ("jpg", "mask.png", "mask.official.png"):
                try:
                    member = tar.extractfile(f"{row['key']}.{name}")
                except KeyError:
                    continue
                assert member is not None
                images[name] = np.asarray(Image.open(io.BytesIO(member.read())))
        column[0].imshow(images["jpg"])
        column[0].set_title(method, fontsize=11)
        column[1].imshow(images["mask.png"], cmap="gray", vmin=0, vmax=255)
        if "mask.official.png" in images:
            column[1].contour(images["mask.official.png"], [127], colors="#e69f00", linewidths=1.5)
        for axis in column:
            axis.set_axis_off()
    figure.savefig(arguments.out, dpi=80, metadata={"Software": None})


if __name__ == "__main__":
    main()
