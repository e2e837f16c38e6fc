"""A work folder that the stages are run in, as a user runs them."""

import hashlib
import shutil
from pathlib import Path

import yaml

from pipelines import index, shard, track

# A part of the demo corpus that is quick to build: feathered swaps, mouths, and a method with shorter fakes.
PARAMS: dict[str, dict] = {
    "datasets": {
        "demo": {
            "layout": "faceforensics",
            "root": "",
            "methods": ["Deepfakes", "NeuralTextures", "FaceSwap"],
            "compressions": ["raw", "c40"],
            "unlisted_split": "",
        }
    },
    "frames": {"count": 4},
    "shard": {"groups": 2},
}


class Work:
    """Runs stages in a folder, with the embedded runner in this process unless told otherwise.

    Without a corpus the folder and its parameters are there already.
    """

    def __init__(self, root: Path, corpus: Path | None, **sections: dict):
        self.root = root
        self.clips, self.tracks, self.shards = root / "clips.parquet", root / "tracks", root / "shards"
        self.params = root / "params.yaml"
        self.sections = sections
        root.mkdir(parents=True, exist_ok=True)
        if corpus is not None:
            self.set_root(corpus)

    def set_root(self, corpus: Path) -> None:
        """Point the dataset at another folder."""
        values = {
            **PARAMS,
            **{name: {**PARAMS.get(name, {}), **part} for name, part in self.sections.items()},
        }
        values["datasets"] = {"demo": {**PARAMS["datasets"]["demo"], "root": str(corpus)}}
        self.params.write_text(yaml.safe_dump(values))

    def set(self, **sections: dict) -> None:
        """Change parameters."""
        values = yaml.safe_load(self.params.read_text())
        for name, part in sections.items():
            values[name] = {**values.get(name, {}), **part}
        self.params.write_text(yaml.safe_dump(values))

    def _flags(self, flags: tuple[str, ...]) -> list[str]:
        alone = [] if any(flag.startswith("--direct") for flag in flags) else ["--direct_num_workers=1"]
        return ["--params", str(self.params), *alone, *flags]

    def index(self, *flags: str) -> int:
        return index.main([*self._flags(flags), "--dataset", "demo", "--out", str(self.clips)])

    def track(self, *flags: str) -> int:
        return track.main([*self._flags(flags), "--clips", str(self.clips), "--out", str(self.tracks)])

    def shard(self, *flags: str) -> int:
        where = ["--clips", str(self.clips), "--tracks", str(self.tracks), "--out", str(self.shards)]
        return shard.main([*self._flags(flags), *where])

    def copy(self, root: Path) -> "Work":
        """A copy that may be written to."""
        shutil.copytree(self.root, root)
        twin = Work.__new__(Work)
        twin.__dict__ = {**self.__dict__, "root": root, "params": root / "params.yaml"}
        twin.clips, twin.tracks, twin.shards = root / "clips.parquet", root / "tracks", root / "shards"
        return twin


def digests(folder: Path, pattern: str = "**/*") -> dict[str, str]:
    """SHA-256 of every file, but those that tell when a run was."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob(pattern))
        if path.is_file() and not path.name.endswith(".status.json")
    }


def stamps(folder: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file: what changes where a file is written again, with the same bytes too."""
    return {
        str(path.relative_to(folder)): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
