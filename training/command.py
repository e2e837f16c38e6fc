"""What the command lines of training share."""

import argparse


def add_shards(parser: argparse.ArgumentParser) -> None:
    """`--shards`, `--where` and `--skip-broken`."""
    parser.add_argument(
        "--shards",
        nargs="+",
        action="extend",
        required=True,
        metavar="FOLDER",
        help="folders (or URLs) of the shard stage; repeats",
    )
    parser.add_argument(
        "--where",
        default="",
        metavar="EXPR",
        help="take the samples for which this holds, of the columns of index.parquet, for example "
        "\"method in ('real', 'Face2Face') and compression == 'c23'\"",
    )
    parser.add_argument(
        "--skip-broken",
        action="store_true",
        help="leave out shards and members that cannot be read, and count them; without it they are errors",
    )


def add_device(parser: argparse.ArgumentParser) -> None:
    """`--device`, as `training.devices.choose` takes it."""
    parser.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto (CUDA where there is one), cpu, cuda or cuda:N (default: auto)",
    )
