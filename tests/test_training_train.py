"""The training command on small shards: what a run leaves, how it goes on, and what it refuses."""

import contextlib
import csv
import dataclasses
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import yaml

from schemas import files
from schemas.errors import StoppedError, UsageError
from schemas.label import Label
from tests.shards_factory import Corpus, make_shards
from tests.test_training_loop import one_thread  # noqa: F401
from tests.training_data import TINY, make_labels
from training import train
from training.fitting import checkpoint, run_folder
from training.fitting.job import plan_job, start_model
from training.fitting.loop import Trainer
from training.loading.pool import read_pool

ROOT = Path(__file__).parents[1]
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}


class Site:
    """Shards, parameters and runs."""

    def __init__(self, root):
        self.root, self.shards = root, root / "shards"

    def params(self, **changes):
        values = dataclasses.asdict(dataclasses.replace(TINY, **changes))
        path = self.root / f"params-{abs(hash(json.dumps(values, sort_keys=True)))}.yaml"
        path.write_text(yaml.safe_dump({"train": values}))
        return path

    def arguments(self, out, *flags, **changes):
        fixed = ("--shards", self.shards, "--params", self.params(**changes), "--out", self.root / out)
        return [str(part) for part in (*fixed, "--device", "cpu", "--exceed-budget", *flags)]

    def train(self, out, *flags, **changes):
        assert train.main(self.arguments(out, *flags, **changes)) == 0
        return self.root / out

    def start(self, out, *flags, **changes):
        command = [sys.executable, "-m", "training.train", *self.arguments(out, *flags, **changes)]
        return subprocess.Popen(
            command, cwd=ROOT, env=ALONE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """A site with a finished run of either stage; not to be written to."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    site = Site(tmp_path_factory.mktemp("done"))
    make_shards(site.shards, Corpus(groups=8, methods=("Deepfakes",), compressions=("c23",), failed=0))
    make_labels(site.root / "l1", site.shards)
    site.train("r0")
    site.train("r1", "--init", site.root / "r0", "--labels", site.root / "l1")
    torch.set_num_threads(threads)
    return site


@pytest.fixture
def site(done, tmp_path):
    """A place for runs on the same shards."""
    site = Site(tmp_path)
    site.shards = done.shards
    return site


def tensors(folder):
    return torch.load(folder / "model.pt", weights_only=True)["state_dict"]


def assert_same(folder, other):
    one, two = tensors(folder), tensors(other)
    assert one.keys() == two.keys()
    assert [name for name in one if not torch.equal(one[name], two[name])] == []


def stamps(folder):
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_run_leaves_its_record_its_model_and_its_curves(done):
    folder = done.root / "r0"
    run = run_folder.read_run(folder)
    assert (run.round, run.stage, run.images, run.requested, run.labelled, run.init) == (0, 1, 24, 0, 0, "")
    assert (run.methods, run.sources) == (("Deepfakes",), ())
    assert run.shards == (str(done.shards),)
    assert run.train == TINY
    assert (run.epochs, run.validation.keys()) == (2, {"auc", "balanced_accuracy"})
    assert {path.name for path in folder.iterdir()} == {
        "run.json",
        "model.pt",
        "curves.csv",
        "curves.png",
        "labels",
    }
    model = run_folder.load_model(folder, "cpu")
    assert not model.training
    assert (model.config.size, model.config.width, model.config.latent) == (64, 4, 8)
    assert all(torch.equal(value, tensors(folder)[name]) for name, value in model.state_dict().items())
    rows = list(csv.DictReader((folder / "curves.csv").open()))
    assert [(row["epoch"], row["step"], row["attention"]) for row in rows] == [("1", "3", ""), ("2", "6", "")]
    assert float(rows[run.best_epoch - 1]["val_auc"]) == run.validation["auc"]
    assert cv2.imread(str(folder / "curves.png")).shape[1] > 600


def test_the_second_stage_goes_on_from_the_first_with_its_labels(done):
    first, second = (run_folder.read_run(done.root / name) for name in ("r0", "r1"))
    assert (second.round, second.stage, second.requested, second.labelled) == (1, 2, 4, 4)
    assert second.init == first.model_sha256
    assert (second.methods, second.sources) == (("Deepfakes",), ("oracle",))
    rows = list(csv.DictReader((done.root / "r1/curves.csv").open()))
    assert all(float(row["attention"]) > 0 and float(row["outside"]) > 0 for row in rows)
    job = plan_job([str(done.shards)], "", [done.root / "l1"], done.root / "r0", TINY, exceed=True)
    start = start_model(job).state_dict()
    assert all(torch.equal(value, tensors(done.root / "r0")[name]) for name, value in start.items())


def test_the_same_command_gives_the_same_bytes(done, site):
    again = site.train("again")
    for name in ("model.pt", "curves.csv", "run.json"):
        assert (again / name).read_bytes() == (done.root / "r0" / name).read_bytes()
    other = site.train("other", seed=1)
    assert (other / "model.pt").read_bytes() != (done.root / "r0/model.pt").read_bytes()


def test_labels_are_carried_from_round_to_round(done, site):
    more = make_labels(site.root / "l2", done.shards, 2, first=6, round=2, source="human")
    waiting = make_labels(site.root / "l3", done.shards, 1, first=9, round=2, state="waiting", mask="")
    out = site.train("r2", "--init", done.root / "r1", "--labels", more, waiting)
    run = run_folder.read_run(out)
    assert (run.round, run.stage, run.requested, run.labelled) == (2, 2, 7, 6)
    rows = files.read_rows(out / "labels/labels.parquet", Label)
    assert [(row.round, row.state) for row in rows].count((1, "labelled")) == 4
    assert len({row.request_id for row in rows}) == 7
    drawn = {
        row.request_id: (folder / row.mask).read_bytes()
        for folder in (done.root / "l1", more)
        for row in files.read_rows(folder / "labels.parquet", Label)
    }
    assert len(set(drawn.values())) > 1
    kept = {row.request_id: (out / "labels" / row.mask).read_bytes() for row in rows if row.mask}
    assert kept == drawn
    last = run_folder.read_run(site.train("r3", "--init", out))
    assert (last.round, last.stage, last.requested, last.labelled) == (3, 2, 7, 6)
    assert run.sources == last.sources == ("human", "oracle")


def test_methods_are_those_of_the_runs_before_as_well(done, site):
    before = shutil.copytree(done.root / "r0", site.root / "r0")
    record = json.loads((before / "run.json").read_bytes())
    files.write_json(before / "run.json", {**record, "methods": ["FaceSwap"]})
    run = run_folder.read_run(site.train("r", "--init", before))
    assert run.methods == ("Deepfakes", "FaceSwap")


def test_an_answer_that_came_later_takes_the_place_of_the_one_before(done, site):
    waiting = make_labels(site.root / "early", done.shards, 2, state="waiting", mask="")
    make_labels(site.root / "other", done.shards, 1, first=5)
    early = site.train("early-run", "--init", done.root / "r0", "--labels", waiting, site.root / "other")
    run = run_folder.read_run(site.train("late", "--init", early, "--labels", done.root / "l1"))
    assert (run.requested, run.labelled) == (5, 5)


def test_a_finished_run_is_left_alone(done, site, capsys):
    out = shutil.copytree(done.root / "r1", site.root / "r1")
    (out / checkpoint.NAME).write_bytes(b"left behind by a death at the very end")
    before = stamps(out)
    site.train("r1", "--init", done.root / "r0", "--labels", done.root / "l1")
    assert "nothing to do" in capsys.readouterr().out
    del before[out / checkpoint.NAME]
    assert stamps(out) == before


def test_a_rerun_that_is_refused_leaves_the_finished_run(done, site):
    out = shutil.copytree(done.root / "r1", site.root / "r1")
    labels = make_labels(site.root / "l", done.shards)
    for path in labels.rglob("*.png"):
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    garbage = site.root / "vgg.pth"
    garbage.write_bytes(b"hello")
    perceptual = dataclasses.replace(TINY.loss, perceptual=1.0, perceptual_weights=str(garbage))
    before = stamps(out)
    for said, flags, changes in (
        (r"train\.batch: 7", (), {"batch": 7}),
        ("not VGG-16 weights", (), {"loss": perceptual}),
        ("have no region in common", ("--labels", labels), {}),
    ):
        with pytest.raises(UsageError, match=said):
            site.train("r1", "--init", done.root / "r0", *flags, **changes)
        assert stamps(out) == before
    site.shards = shutil.copytree(site.shards, site.root / "shards")
    for split in ("train", "val"):
        path = min((site.shards / split).glob("*.tar"))
        path.rename(site.root / "away.tar")
        with pytest.raises(UsageError, match=rf"{path}: .*--skip-broken"):
            site.train("r1", seed=9)
        assert stamps(out) == before
        (site.root / "away.tar").rename(path)


def test_a_run_of_other_parameters_is_replaced(done, site, capsys):
    out = shutil.copytree(done.root / "r1", site.root / "r1")
    site.train("r1", "--init", done.root / "r0", seed=3)
    assert (
        f"{out} holds a run of other shards, labels or parameters: it is replaced" in capsys.readouterr().out
    )
    run = run_folder.read_run(out)
    assert (run.stage, run.requested, run.train.seed) == (1, 0, 3)
    assert not list((out / "labels").rglob("*.png"))


def test_a_checkpoint_of_other_parameters_is_not_gone_on_with(done, site, monkeypatch):
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        site.train("r", "--checkpoint-every", "0", seed=5)
    assert (site.root / "r" / checkpoint.NAME).exists()
    monkeypatch.undo()
    assert_same(site.train("r"), done.root / "r0")


def stop_after(monkeypatch, steps):
    """Interrupt training after so many steps."""
    real = Trainer._backward

    def backward(self, *arguments):
        if self.step == steps:
            raise KeyboardInterrupt
        return real(self, *arguments)

    monkeypatch.setattr(Trainer, "_backward", backward)


def test_a_run_that_is_killed_at_a_random_step_ends_as_one_that_was_not(done, site):
    stage = dataclasses.replace(TINY.stage2, epochs=3)
    settings = {"workers": 2, "batch": 4, "labelled": 1, "stage2": stage}
    flags = ("--init", done.root / "r0", "--labels", done.root / "l1", "--checkpoint-every", "0")
    whole = site.train("whole", *flags, **settings)
    folder, kill_at, seen = site.root / "killed", random.randint(1, 12), set()
    process = site.start("killed", *flags, **settings)
    while len(seen) < kill_at and process.poll() is None:
        with contextlib.suppress(FileNotFoundError):
            seen.add((folder / checkpoint.NAME).stat().st_mtime_ns)
        time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "run.json").exists(), (
        f"ended before its checkpoint {kill_at}: {process.stderr.read()}"
    )
    assert 0 < checkpoint.read_checkpoint(folder / checkpoint.NAME)[1]["step"] < 18
    until_free(folder)
    site.train("killed", *flags, **settings)
    assert_same(folder, whole)
    for name in ("run.json", "curves.csv"):
        assert (folder / name).read_bytes() == (whole / name).read_bytes()
    assert not list(folder.glob(".*"))


def until_free(folder):
    """Wait for loading processes that lost their parent: they hold the folder for some seconds."""
    while True:
        try:
            with files.exclusive(folder):
                return
        except UsageError:
            time.sleep(0.1)


def test_no_room_for_a_checkpoint_leaves_the_one_before(done, site, monkeypatch):
    real, writes = files.atomic_write, []

    @contextlib.contextmanager
    def atomic_write(path, check=None):
        with real(path, check) as file:
            writes.append(path.name)
            if writes.count(checkpoint.NAME) == 4:
                file.write(b"half of a checkpoint")
                raise OSError(errno.ENOSPC, "No space left on device")
            yield file

    monkeypatch.setattr(files, "atomic_write", atomic_write)
    with pytest.raises(StoppedError, match="no space left on device; make room there, then run again"):
        site.train("r0", "--checkpoint-every", "0")
    monkeypatch.undo()
    assert checkpoint.read_checkpoint(site.root / "r0" / checkpoint.NAME)[1]["step"] == 3
    assert not list((site.root / "r0").glob(".*"))
    assert_same(site.train("r0"), done.root / "r0")


def interrupted(site, monkeypatch):
    stop_after(monkeypatch, 2)
    with pytest.raises(KeyboardInterrupt):
        site.train("r", "--checkpoint-every", "0")
    monkeypatch.undo()
    return site.root / "r" / checkpoint.NAME


def test_a_checkpoint_that_is_damaged_or_something_else_is_named(done, site, monkeypatch):
    path = interrupted(site, monkeypatch)
    whole = path.read_bytes()
    other = checkpoint.to_bytes({"format": "theirs", "settings": "", "state": {}})
    for data in (whole[: len(whole) // 2], b"", b"hello" * 100, checkpoint.to_bytes([1, 2]), other):
        path.write_bytes(data)
        with pytest.raises(UsageError, match=rf"{path}: not a whole checkpoint of this program .*remove it"):
            site.train("r")
    path.write_bytes(whole)
    (path.parent / ".model.pt.0.part").touch()  # of a writer that was killed
    assert_same(site.train("r"), done.root / "r0")
    assert not list(path.parent.glob(".*"))


def test_a_checkpoint_of_another_shape_is_named(site, monkeypatch):
    path = interrupted(site, monkeypatch)
    settings, state = checkpoint.read_checkpoint(path)
    state["model"]["encoder.0.0.weight"] = torch.zeros(5, 3, 5, 5)
    checkpoint.write_checkpoint(path, settings, state)
    with pytest.raises(UsageError, match=rf"{path}: does not fit the model .*remove it"):
        site.train("r")


def test_a_loss_that_is_not_finite_keeps_the_checkpoint_before_it(site):
    stage = dataclasses.replace(TINY.stage1, lr=1e30)
    with pytest.raises(StoppedError, match=r"at batch 2 of epoch 1 \(step 2\); lower train\.stage1\.lr"):
        site.train("r", "--checkpoint-every", "0", stage1=stage)
    assert checkpoint.read_checkpoint(site.root / "r" / checkpoint.NAME)[1]["step"] == 1


@pytest.mark.parametrize(
    ("where", "said"),
    [
        ("split != 'val'", "the validation split has no samples"),
        ("split != 'val' or label == 'real'", "the validation split has reals only"),
    ],
)
def test_without_a_validation_split_the_last_epoch_is_kept(site, capsys, where, said):
    run = run_folder.read_run(site.train("r", "--where", where))
    assert f"no validation: {said}; the last epoch is kept" in capsys.readouterr().out
    assert (run.best_epoch, run.validation, run.where) == (2, {}, where)


def test_labels_without_a_first_stage_are_warned_of(done, site, capsys):
    run = run_folder.read_run(site.train("r", "--labels", done.root / "l1"))
    assert (run.round, run.stage) == (0, 2)
    assert "warning: masks without --init skip stage 1" in capsys.readouterr().out


def test_labels_that_cannot_train(done, site):
    init = ("--init", done.root / "r0")
    cases = [
        ({"verdict": "authentic", "mask": ""}, "no label is 'labelled' and 'forged' .4 authentic."),
        ({"state": "waiting", "mask": ""}, "no label is 'labelled' and 'forged' .4 waiting."),
        ({"crop_sha256": "0" * 64}, "4 are of other crop_sha256"),
        ({"key": "elsewhere"}, "4 .*of samples that are no fakes"),
        (
            {"mask": "masks/none.png"},
            r"masks/none\.png: No such file or directory, but labels\.parquet names it",
        ),
        ({"mask": "../l1/labels.parquet"}, r"mask '\.\./l1/labels\.parquet' is not inside the folder"),
        ({"mask": "/etc/hostname"}, r"mask '/etc/hostname' is not inside the folder"),
    ]
    for number, (change, said) in enumerate(cases):
        labels = make_labels(site.root / f"labels{number}", done.shards, **change)
        with pytest.raises(UsageError, match=said):
            site.train("r", *init, "--labels", labels)
    with pytest.raises(UsageError, match=r"nowhere/labels\.parquet: no such file"):
        site.train("r", *init, "--labels", site.root / "nowhere")
    assert not (site.root / "r").exists()


def test_masks_that_span_no_region_give_no_face_prior(done, site):
    labels = make_labels(site.root / "l", done.shards)
    for path in labels.rglob("*.png"):
        cv2.imwrite(str(path), np.zeros((64, 64), np.uint8))
    with pytest.raises(UsageError, match="4 masks have no region in common, so they do not say where faces"):
        site.train("r", "--init", done.root / "r0", "--labels", labels)


@pytest.mark.parametrize("change", [{"width": 8}, {"latent": 16}, {"size": 80}, {"residual": False}])
def test_a_model_of_another_shape_to_start_from(done, site, change):
    ((name, value),) = change.items()
    said = rf"train\.{name}: {value}, but the model of --init .*/r0 has {getattr(TINY, name)}; set it to"
    with pytest.raises(UsageError, match=said):
        site.train("r", "--init", done.root / "r0", **change)


def test_runs_that_cannot_be_read(done, site):
    folder = shutil.copytree(done.root / "r0", site.root / "r0")
    record = json.loads((folder / "run.json").read_bytes())

    def refused(said):
        with pytest.raises(UsageError, match=said):
            run_folder.load_model(folder, "cpu")
        with pytest.raises(UsageError, match=said):
            site.train("r", "--init", folder)

    whole = (folder / "model.pt").read_bytes()
    for data in (whole[:-1], whole + b"x", b""):
        (folder / "model.pt").write_bytes(data)
        refused(r"model\.pt: SHA-256 .* but run\.json says .*train this run again")
    for value in ({"config": {}, "state_dict": {}}, [1], {"config": {"size": 64}}):
        with files.atomic_write(folder / "model.pt") as file:
            file.write(checkpoint.to_bytes(value))
        sha = files.file_sha256(folder / "model.pt")
        files.write_json(folder / "run.json", {**record, "model_sha256": sha})
        refused(r"model\.pt: not a model of this program .*train this run again")
    (folder / "model.pt").unlink()
    refused(r"model\.pt: No such file or directory")
    for text in ("", "[]", "{", json.dumps({**record, "round": "two"}), json.dumps({**record, "more": 1})):
        (folder / "run.json").write_text(text)
        refused(r"run\.json: not the record of a run .*train this run again")
    (folder / "run.json").write_text(json.dumps({**record, "schema_version": 9}))
    refused(r"run\.json: schema version 9; this program reads 1")
    (folder / "run.json").unlink()
    refused(r"run\.json: no such file; give the --out of a finished training\.train")
    (folder / checkpoint.NAME).touch()
    refused(r"run\.json: no such file; its training has not ended: run the same command again")


def test_folders_that_a_run_may_not_be_written_to(done, site):
    with pytest.raises(UsageError, match=r"--out .*/r0: is also --init"):
        done.train("r0", "--init", done.root / "r0")
    for flag, folder in (
        ("--labels", done.root / "l1"),
        ("--init", done.root / "r0"),
        ("--shards", done.shards),
    ):
        held = shutil.copytree(folder, site.root / flag.strip("-") / "deep/down")
        if flag == "--shards":
            site.shards = held
        flags = () if flag == "--shards" else (flag, held)
        with pytest.raises(UsageError, match=rf"--out .*: holds {held} of {flag}; give a folder of its own"):
            train.main([*site.arguments("r", *flags), "--out", str(held.parents[1])])
        assert [path.name for path in held.parents[1].iterdir()] == ["deep"]
    with pytest.raises(UsageError, match=r"--out .*/shards/r: inside .*/shards, which holds shards only"):
        done.train("shards/r")
    with (
        files.exclusive(site.root / "held"),
        pytest.raises(UsageError, match="another run is writing here"),
    ):
        site.train("held")


def test_what_else_is_refused(done, site):
    weights = {"perceptual": 1.0, "perceptual_weights": "no.pth"}
    loss = dataclasses.replace(TINY.loss, **weights)
    with pytest.raises(UsageError, match=r"train\.loss\.perceptual_weights: no\.pth: no such file"):
        site.train("r", loss=loss)
    with pytest.raises(UsageError, match=r"train\.size: 100; it must be a multiple of 16"):
        site.train("r", size=100)
    with pytest.raises(UsageError, match=r"train\.precision: fp16 needs a GPU"):
        site.train("r", precision="fp16")
    with pytest.raises(UsageError, match=r"fake"):
        site.train("r", "--where", "label == 'real'")
    with pytest.raises(UsageError, match=r"nowhere: no such folder"):
        train.main(["--shards", str(site.root / "nowhere"), "--out", str(site.root / "r")])


def test_shards_that_cannot_be_read_end_the_run_or_are_counted(done, site, capsys):
    site.shards = shutil.copytree(site.shards, site.root / "shards")
    broken = min((site.shards / "train").glob("*.tar"))
    broken.write_bytes(broken.read_bytes()[:6000])
    with pytest.raises(UsageError, match=rf"{broken}: .*--skip-broken"):
        site.train("r")
    site.train("r", "--skip-broken")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(broken))]
    assert line.endswith(" samples could not be read and were left out")
    assert int(line.split()[1]) > 0


def test_lost_validation_samples_are_counted_and_a_missing_shard_is_said_before_training(site, capsys):
    site.shards = shutil.copytree(site.shards, site.root / "shards")
    broken = min((site.shards / "val").glob("*.tar"))
    broken.rename(site.root / "away.tar")
    with pytest.raises(UsageError, match=rf"{broken}: .*--skip-broken"):
        site.train("r")
    assert "epoch 1" not in capsys.readouterr().out
    broken.write_bytes((site.root / "away.tar").read_bytes()[:6000])
    site.train("r", "--skip-broken")
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(broken))]
    assert 0 < int(line.split()[1]) <= len(read_pool([str(site.shards)], "", "val"))


def test_more_requests_than_the_limit_need_a_word(site):
    """Over all rounds, answered or not; an answer to the same request is no other request."""
    corpus = Corpus(groups=50, methods=("Deepfakes",), compressions=("c23",), frames=2, failed=0)
    site.shards = large = make_shards(site.root / "large", corpus)
    first = make_labels(site.root / "first", large, 3)
    again = make_labels(site.root / "again", large, 1, state="skipped", mask="")
    more = make_labels(site.root / "more", large, 1, first=4, round=2, state="waiting", mask="")
    asked = site.arguments("r", "--labels", first, again, more)
    asked.remove("--exceed-budget")
    said = (
        r"--labels: 4 crops were asked about, with those of --init, answered or not; 0\.03 of 104 training "
        r"images is 3: give fewer, more shards, or --exceed-budget"
    )
    with pytest.raises(UsageError, match=said):
        train.main(asked)
    assert len(plan_job([str(large)], "", [first, again], None, TINY).given.rows) == 3
    assert train.main([*asked, "--exceed-budget"]) == 0
    assert run_folder.read_run(site.root / "r").requested == 4
    with pytest.raises(UsageError, match=said):
        plan_job([str(large)], "", [], site.root / "r", TINY)


def test_a_file_that_is_not_ours_stays(site):
    (site.root / "r").mkdir()
    drawn = make_labels(site.root / "r/labels/r1", site.shards)
    kept = [
        site.root / "r" / name
        for name in ("notes.txt", "labels/masks/mine.png", "requests/.requests.parquet.0.part")
    ]
    for path in kept:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("mine")
    kept += [path for path in drawn.rglob("*") if path.is_file()]
    before = {path: path.read_bytes() for path in kept}
    first = make_labels(site.root / "l", site.shards)
    site.train("r", "--labels", first)
    assert len(list((site.root / "r/labels/masks").iterdir())) == 5
    site.train("r", seed=4)
    assert {path: path.read_bytes() for path in kept} == before
    assert [path.name for path in (site.root / "r/labels/masks").iterdir()] == ["mine.png"]


def test_help_teaches(capsys):
    with pytest.raises(SystemExit) as ended:
        train.main(["--help"])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    for word in ("torchrun --nproc-per-node 4", "--init WORK/runs/r0", "Exit codes", "stage 1", "--where"):
        assert word in said


def test_two_processes_end_with_the_same_weights(done, site):
    launch = (
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(ROOT / "tests/ddp_probe.py"),
    )
    arguments = site.arguments("r", "--init", done.root / "r0", "--labels", done.root / "l1", accumulate=2)
    command = [sys.executable, "-m", *launch, str(site.root), *arguments]
    ended = subprocess.run(
        command, cwd=ROOT, env={**ALONE, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=240
    )
    assert ended.returncode == 0, ended.stderr
    ranks = [json.loads((site.root / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    assert ranks[0] == ranks[1]
    assert ranks[0]["step"] == 2
    run = run_folder.read_run(site.root / "r")
    assert run.best_epoch == ranks[0]["best"]
    assert ended.stdout.count("kept epoch") == 1
    assert ended.stdout.count("epoch 1:") == 1
    alone = tensors(done.root / "r1")
    assert not torch.equal(tensors(site.root / "r")["encoder.0.0.weight"], alone["encoder.0.0.weight"])


def test_pairs_can_be_asked_for(done, site):
    record = json.loads((site.train("pairs", pairs=True) / "run.json").read_bytes())
    assert record["train"]["pairs"] is True
    assert record["model_sha256"] != json.loads((done.root / "r0/run.json").read_bytes())["model_sha256"]
