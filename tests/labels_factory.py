"""A folder of label requests as training leaves it, and runs of the label stage on it."""

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pyarrow.parquet as pq

from pipelines import labels
from schemas.files import read_rows, write_rows
from schemas.label import Annotation, Label
from schemas.request import LabelRequest, request_id
from tests.shards_factory import POINTS as POINTS

SIZE = 64


def make_requests(folder: Path, count: int = 4, points: tuple = POINTS) -> list[LabelRequest]:
    """Requests of made-up crops; the proposal of the second is empty."""
    rows = []
    for rank in range(1, count + 1):
        rng = np.random.default_rng(rank)
        picture = cv2.GaussianBlur(rng.integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8), (0, 0), 2)
        picture[disc(0, 0, 26)] = (150, 170, 220)
        proposal = (
            np.where(disc(3, rank % 5, 9), 200, 90).astype(np.uint8)
            if rank != 2
            else np.zeros((64, 64), np.uint8)
        )
        rows.append(request(folder, f"demo/clip{rank}/00/000000", picture, proposal, rank, points))
    write_rows(folder / "requests.parquet", LabelRequest, rows)
    return rows


def request(folder, key, picture, proposal, rank, points, digest=None, round_number=1) -> LabelRequest:
    png = cv2.imencode(".png", picture)[1].tobytes()
    digest = digest or hashlib.sha256(png).hexdigest()
    number = request_id(round_number, key, digest)
    for name, data in (("crops", png), ("proposals", cv2.imencode(".png", proposal)[1].tobytes())):
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / f"{number}.png").write_bytes(data)
    return LabelRequest(
        request_id=number,
        round=round_number,
        strategy="random",
        score=1.0 / rank,
        rank=rank,
        key=key,
        dataset="demo",
        group="000",
        clip=f"clip{rank}.mp4",
        method="Deepfakes",
        compression="c23",
        crop_sha256=digest,
        landmarks=points,
        size=picture.shape[0],
        fake_score=0.1,
        crop=f"crops/{number}.png",
        proposal=f"proposals/{number}.png",
        model_sha256="0" * 64,
    )


def requests_of(folder: Path, shards: Path, where=lambda row: row["split"] == "train") -> list[LabelRequest]:
    """Requests of samples of shards."""
    rows: list[LabelRequest] = []
    for row in filter(where, pq.read_table(shards / "index.parquet").to_pylist()):
        picture = np.full((row["size"],) * 2 + (3,), 128, np.uint8)
        blank = np.zeros(picture.shape[:2], np.uint8)
        face = tuple(tuple(point) for point in row["landmarks"])
        rows.append(request(folder, row["key"], picture, blank, len(rows) + 1, face, row["crop_sha256"]))
    write_rows(folder / "requests.parquet", LabelRequest, rows)
    return rows


def disc(dx: float = 0, dy: float = 0, radius: float = 10, size: int = SIZE) -> np.ndarray:
    """A disc about the crop's middle, moved by a few pixels: (size, size) bool."""
    y, x = np.mgrid[:size, :size] - size / 2
    return np.asarray((x - dx) ** 2 + (y - dy) ** 2 < radius**2)


def paint(path: Path, mask: np.ndarray) -> None:
    """Save a mask as people do."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), mask.astype(np.uint8) * 255)


def run(
    requests: Path, source: str | list[str], out: Path, *flags: str
) -> tuple[dict[str, Label], list[Annotation]]:
    """Run the stage; labels by request id, and annotations."""
    sources = [source] if isinstance(source, str) else source
    given = [part for one in sources for part in ("--from", one)]
    assert labels.main(["--requests", str(requests), *given, "--out", str(out), *flags]) == 0
    made = read_rows(out / "labels.parquet", Label)
    assert [label.request_id for label in made] == [
        row.request_id for row in read_rows(requests / "requests.parquet", LabelRequest)
    ]
    for label in made:
        assert (label.state == "labelled") == bool(label.mask)
    return {label.request_id: label for label in made}, read_rows(out / "annotations.parquet", Annotation)


def read_mask(out: Path, name: str) -> np.ndarray:
    mask = cv2.imread(str(out / name), cv2.IMREAD_UNCHANGED)
    assert (mask.dtype, mask.ndim) == (np.uint8, 2)
    assert set(np.unique(mask)) <= {0, 255}
    return mask > 0


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
