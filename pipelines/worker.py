"""A worker process of the embedded runner: Beam's own, but it ends with its run."""

import sys

from pipelines import leash

if __name__ == "__main__":
    leash.hold(sys.argv[1])
    from apache_beam.runners.worker import sdk_worker_main  # seconds to import: only once held

    sdk_worker_main.main(sys.argv)
