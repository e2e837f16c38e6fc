"""Cancelling a job: at its job service, and at Flink, whose job server only says that it did."""

import time
from collections.abc import Callable

import requests
from apache_beam.options.pipeline_options import FlinkRunnerOptions, PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineState

_CANCEL = 30.0  # seconds
_ANSWER = 10.0
_ENDED = ("CANCELED", "FAILED", "FINISHED")


def cancel(result: PipelineResult, options: PipelineOptions) -> None:
    """Cancel a job, and print what became of it.

    Beam's job server for Flink (2.65) reports a batch job as cancelled, and lets it run on. Where
    `--flink_master` is an address, the job is cancelled there, too; elsewhere it fails at the next result
    that it would commit, for the run has given up its folder.
    """
    print("cancelling the job ...", flush=True)
    try:
        result.cancel()
        ended = _until(lambda: PipelineState.is_terminal(result.state))
        master = options.view_as(FlinkRunnerOptions).flink_master
        at_flink = "[" not in master
        if at_flink:
            ended = _cancel_at_flink(master, getattr(result, "_job_id", ""))
    except Exception as error:  # of gRPC, of REST: the run ends all the same
        said = (str(error).splitlines() or [type(error).__name__])[0]
        print(f"the job could not be cancelled ({said}); it fails at the next result that it would commit")
        return
    if not ended:
        print(f"the job did not end in {_CANCEL:.0f} s; it fails at the next result that it would commit")
    elif at_flink:
        print("the job is cancelled")
    else:
        print(
            "the job service cancelled the job; one on Flink fails at the next result that it would commit "
            "(--flink_master=HOST:PORT has it cancelled at once)"
        )


def _until(ended: Callable[[], bool]) -> bool:
    end = time.monotonic() + _CANCEL
    while not ended():
        if time.monotonic() > end:
            return False
        time.sleep(0.2)
    return True


def _cancel_at_flink(master: str, job: str) -> bool:
    """Cancel the Flink job of a Beam job. Gives whether it ended.

    Raises:
      RuntimeError: if several jobs have its name (Beam's id without its last part): any may be another's.
    """
    url = master if "://" in master else f"http://{master}"
    name = job.rpartition("_")[0]

    def cancelled() -> bool:
        jobs = requests.get(f"{url}/jobs/overview", timeout=_ANSWER).json()["jobs"]
        ours = {each["jid"]: each["state"] for each in jobs if each["name"] == name}
        alive = [each for each, state in ours.items() if state not in _ENDED]
        if len(alive) > 1:
            raise RuntimeError(f"{len(alive)} jobs at {url} are called {name}: cancel yours there")
        for each in alive:
            requests.patch(f"{url}/jobs/{each}", timeout=_ANSWER)
        return bool(ours) and not alive

    return _until(cancelled)
