"""Reads tars with DALI, which runs this file, and prints the SHA-256 of each member that was asked for.

python dali_probe.py EXTENSION,EXTENSION TAR,TAR [INDEX,INDEX]
"""

import hashlib
import json
import sys

from nvidia.dali import fn, pipeline_def


@pipeline_def(batch_size=1, num_threads=1, device_id=None)
def read(tars: list[str], indexes: list[str] | None, extensions: list[str]):
    return tuple(
        fn.readers.webdataset(
            name="reader",
            paths=tars,
            index_paths=indexes,
            ext=extensions,
            missing_component_behavior="empty",
            pad_last_batch=False,
        )
    )


def main() -> None:
    extensions, tars = (argument.split(",") for argument in sys.argv[1:3])
    indexes = sys.argv[3].split(",") if len(sys.argv) > 3 else None
    pipeline = read(tars, indexes, extensions)
    pipeline.build()
    found = []
    for _ in range(pipeline.epoch_size("reader")):
        members = [bytes(output.at(0)) for output in pipeline.run()]
        found.append([hashlib.sha256(data).hexdigest() if data else "" for data in members])
    print(json.dumps(found))


if __name__ == "__main__":
    main()
