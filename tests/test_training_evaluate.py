import base64
import dataclasses
import json
import re
from pathlib import Path
from unittest import mock

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import expit
from sklearn.metrics import roc_auc_score

from schemas import SCHEMA_VERSION
from schemas.convert import to_row
from schemas.errors import StoppedError, UsageError
from schemas.files import write_json
from schemas.params_training import EvaluateParams, TrainParams
from schemas.run import Run
from tests.shards_factory import Corpus, edit_tar, make_shards
from training.evaluate import main
from training.evaluation import page
from training.evaluation.figures import by_clip, detection, located
from training.evaluation.pictures import OUTLINE, TILE, pick, strip
from training.evaluation.run import run_model
from training.fitting.run_folder import write_model
from training.lae.model import LAE, ModelConfig

TRAIN = TrainParams(size=64, width=4, latent=8, workers=0)
METHODS = ("Deepfakes", "FaceSwap", "NeuralTextures")
CORPUS = Corpus(groups=20, methods=METHODS, compressions=("c23", "c40"), frames=2, failed=0, unknown=0.3)
PARAMS = "train: {workers: 0}\nevaluate: {resamples: 60, gallery: 8}\n"
SEEN = "method in ('real', 'Deepfakes')"
TINY = cv2.imencode(".png", np.zeros((2, 2), np.uint8))[1].tobytes()


def make_run(folder, shards, seed=0, nan=False, dead=False, methods=("Deepfakes",), record=None, **changes):
    torch.manual_seed(seed)
    train = dataclasses.replace(TRAIN, seed=seed, **changes)
    lae = LAE(ModelConfig(train.size, train.width, train.latent, train.residual))
    if nan:
        with torch.no_grad():
            lae.encoder[0][0].weight.fill_(float("nan"))
    if dead:
        with torch.no_grad():
            for parameter in lae.encoder.parameters():
                parameter.zero_()
    folder.mkdir(parents=True)
    run = Run(
        schema_version=SCHEMA_VERSION,
        round=0,
        stage=1,
        settings="d" * 64,
        init="",
        shards=(str(shards),),
        where=SEEN,
        train=train,
        images=48,
        requested=0,
        labelled=0,
        epochs=1,
        best_epoch=1,
        model_sha256=write_model(folder, lae),
        validation={},
        methods=methods,
        sources=(),
    )
    run = dataclasses.replace(run, **record or {})
    write_json(folder / "run.json", to_row(run))
    return folder


@dataclasses.dataclass(frozen=True)
class Made:
    root: Path
    shards: Path
    run: Path

    def evaluate(self, out, *flags, shards=None, run=None, drawn=False):
        """The exit code of the stage; plots are dots unless `drawn`: they take most of the time."""
        paths = {"--shards": shards or self.shards, "--run": run or self.run, "--out": out}
        arguments = [str(part) for pair in paths.items() for part in pair]
        if "--params" not in flags:
            arguments += ["--params", str(self.root / "params.yaml")]
        arguments += ["--device", "cpu", *map(str, flags)]
        if drawn:
            return main(arguments)
        with mock.patch.object(page, "_draw", return_value=TINY):
            return main(arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("evaluate")
    (root / "params.yaml").write_text(PARAMS)
    shards = make_shards(root / "shards", CORPUS)
    return Made(root, shards, make_run(root / "runs/r0", shards))


@pytest.fixture(scope="module")
def out(made):
    folder = made.root / "eval"
    assert made.evaluate(folder, drawn=True) == 0
    return folder


def read(path):
    return json.loads(path.read_bytes())


def part(out, level, kind, name=None):
    parts = read(out / "evaluation.json")["parts"]
    (found,) = (p for p in parts if (p["level"], p["kind"], p["name"]) == (level, kind, name or kind))
    return found


def test_every_image_of_the_split_has_a_prediction(made, out):
    said = pd.read_parquet(out / "predictions.parquet")
    index = pd.read_parquet(made.shards / "index.parquet")
    assert sorted(said.key) == sorted(index[index.split == "test"].key)
    assert (said.score == said.fake - said.real).all()
    assert (said.split == "test").all()
    names = ["key", "group", "track", "frame"]
    both = said[names].merge(index[names], on=names)
    assert len(both) == len(said)


def test_figures_are_those_of_the_predictions(out):
    said = pd.read_parquet(out / "predictions.parquet")
    fake = said.label == "fake"
    metrics = read(out / "metrics.json")
    assert metrics["auc"] == pytest.approx(roc_auc_score(fake, said.score))
    assert metrics["accuracy"] == pytest.approx(((said.fake > said.real) == fake).mean())
    clips = said.groupby(["clip", "label"]).score.mean().reset_index()
    assert metrics["clip_auc"] == pytest.approx(roc_auc_score(clips.label == "fake", clips.score))
    assert metrics["clips"] == len(clips)
    one = said[~fake | (said.method == "FaceSwap")]
    assert metrics["auc_method_FaceSwap"] == pytest.approx(roc_auc_score(one.label == "fake", one.score))
    c40 = said[said.compression == "c40"]
    assert metrics["auc_compression_c40"] == pytest.approx(roc_auc_score(c40.label == "fake", c40.score))
    weight = np.where(fake, 0.5 / fake.sum(), 0.5 / (~fake).sum())
    assert metrics["brier"] == pytest.approx((weight * (expit(said.score.astype(float)) - fake) ** 2).sum())


def test_seen_methods_are_those_of_the_run(out):
    assert read(out / "evaluation.json")["seen"] == ["Deepfakes"]
    said = pd.read_parquet(out / "predictions.parquet")
    for kind, methods in (("seen", ["Deepfakes"]), ("unseen", ["FaceSwap", "NeuralTextures"])):
        rows = said[(said.label == "real") | said.method.isin(methods)]
        auc = roc_auc_score(rows.label == "fake", rows.score)
        assert part(out, "frame", kind)["figures"]["auc"]["value"] == pytest.approx(auc)
        assert read(out / "metrics.json")[f"auc_{kind}"] == pytest.approx(auc)


def test_intervals_hold_their_figures(out):
    for level in ("frame", "clip", "mask"):
        for name, figure in part(out, level, "all")["figures"].items():
            assert figure["low"] <= figure["value"] <= figure["high"], name
            assert figure["group_low"] <= figure["group_high"], name
            assert figure["reason"] == figure["group_reason"] == ""


def test_unknown_masks_are_counted_and_left_out(made, out):
    index = pd.read_parquet(made.shards / "index.parquet")
    fakes = index[(index.split == "test") & (index.label == "fake")]
    unknown = int((fakes.mask_kind == "unknown").sum())
    assert 0 < unknown < len(fakes)
    everything = part(out, "mask", "all")
    assert (everything["fake"], everything["unknown"]) == (len(fakes) - unknown, unknown)
    assert read(out / "metrics.json")["masks_unknown"] == unknown


def test_reals_have_iinc_and_nothing_else(out):
    assert set(part(out, "mask", "real")["figures"]) == {"iinc"}


def test_the_page_loads_nothing_and_shows_everything(out):
    html = (out / "evaluation.html").read_text("utf-8")
    assert re.findall(r"""(?:src|srcset|href)=["'](?!data:|#)""", html) == []
    assert "default-src 'none'" in html
    assert f"{read(out / 'metrics.json')['auc']:.3f}" in html
    for method in METHODS:
        assert f"<h3>{method}</h3>" in html
    jpegs = re.findall(r"data:image/jpeg;base64,([^\"]+)", html)
    assert len(jpegs) >= 2 + 2 * len(METHODS)
    picture = cv2.imdecode(np.frombuffer(base64.b64decode(jpegs[0]), np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (TILE, 3 * TILE + 8, 3)
    assert {path.name for path in (out / "plots").iterdir()} == {
        "roc.png",
        "scores.png",
        "methods.png",
        "reliability.png",
    }


def test_names_cannot_write_html(made, tmp_path):
    name = tmp_path / "<script>alert(1)</script>"
    run = make_run(name / "<b>r0", made.shards)
    assert made.evaluate(tmp_path / "out", run=run) == 0
    html = (tmp_path / "out/evaluation.html").read_text("utf-8")
    assert "&lt;b&gt;r0" in html
    assert "<b>r0" not in html


def test_again_gives_the_same_bytes(made, out, tmp_path):
    assert made.evaluate(tmp_path / "again", drawn=True) == 0
    for path in out.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(out)).read_bytes(), path.name


def test_it_says_what_it_found(made, tmp_path, capsys):
    assert made.evaluate(tmp_path / "out") == 0
    said, progress = capsys.readouterr()
    assert progress == "", "a bar in a log"
    title, first, *_ = said.splitlines()
    assert title.endswith("95% interval of the AUC over source groups")
    assert first.endswith(range_of(read(tmp_path / "out/metrics.json"), "auc_group"))
    assert re.search(r"^Deepfakes seen +0\.\d{3}", said, re.MULTILINE)
    assert re.search(r"^FaceSwap unseen +0\.\d{3}", said, re.MULTILINE)
    assert f"see {tmp_path / 'out/evaluation.html'}" in said


def test_without_reals_there_is_no_auc_and_a_reason(made, tmp_path):
    assert made.evaluate(tmp_path / "out", "--where", "label == 'fake'", drawn=True) == 0
    metrics = read(tmp_path / "out/metrics.json")
    assert metrics["auc"] is None
    assert metrics["eer"] is None
    assert metrics["ece"] is None
    assert 0 <= metrics["accuracy"] <= 1
    figure = part(tmp_path / "out", "frame", "all")["figures"]["auc"]
    assert figure["value"] is None
    assert figure["reason"] == "no reals"
    assert "There are no reals." in (tmp_path / "out/evaluation.html").read_text("utf-8")


def test_a_part_without_fakes_is_not_measured(made, tmp_path):
    """Of the compressions, c40 has reals only; and no method is a seen one."""
    where = "label == 'real' or (compression == 'c23' and method != 'Deepfakes')"
    assert made.evaluate(tmp_path / "out", "--where", where) == 0
    for kind, name in (("compression", "c40"), ("seen", "seen")):
        found = part(tmp_path / "out", "frame", kind, name)
        assert found["fake"] == 0
        assert {(f["value"], f["reason"]) for f in found["figures"].values()} == {(None, "no fakes")}


def test_few_units_of_a_class_have_no_interval(made, tmp_path):
    index = pd.read_parquet(made.shards / "index.parquet")
    clip = index[(index.split == "test") & (index.method == "FaceSwap")]["clip"].iloc[0]
    assert made.evaluate(tmp_path / "out", "--where", f"label == 'real' or clip == '{clip}'") == 0
    figure = part(tmp_path / "out", "frame", "method", "FaceSwap")["figures"]["auc"]
    assert figure["value"] is not None
    assert (figure["low"], figure["reason"]) == (None, "1 clip: too few for an interval")
    assert (figure["group_low"], figure["group_reason"]) == (None, "1 group: too few for an interval")


def test_four_groups_of_many_clips_have_an_interval_over_clips_only(made, tmp_path, capsys):
    index = pd.read_parquet(made.shards / "index.parquet")
    groups = sorted(set(index[index.split == "test"].group))[:4]
    assert made.evaluate(tmp_path / "out", "--where", f"group in {groups}") == 0
    few = "4 groups: too few for an interval"
    figure = part(tmp_path / "out", "frame", "all")["figures"]["auc"]
    assert figure["low"] <= figure["value"] <= figure["high"]
    assert (figure["group_low"], figure["group_reason"]) == (None, few)
    metrics = read(tmp_path / "out/metrics.json")
    assert metrics["auc_low"] is not None
    assert metrics["auc_group_low"] is None
    assert few in capsys.readouterr().out
    html = (tmp_path / "out/evaluation.html").read_text("utf-8")
    assert few in html[html.index('class="tiles"') : html.index("</dl>")]


def test_headlines_have_the_interval_over_groups(out):
    metrics = read(out / "metrics.json")
    wide, narrow = (range_of(metrics, f"auc{kind}") for kind in ("_group", ""))
    assert wide != narrow
    html = (out / "evaluation.html").read_text("utf-8")
    tiles = html[html.index('class="tiles"') : html.index("</dl>")]
    assert wide in tiles
    assert narrow not in tiles
    for kind in ("", "_seen", "_unseen"):
        assert metrics[f"auc{kind}_group_low"] < metrics[f"auc{kind}_group_high"]


def range_of(metrics, name):
    return f"{metrics[f'{name}_low']:.3f} to {metrics[f'{name}_high']:.3f}"


def test_a_model_without_attention_is_no_perfect_one(made, tmp_path, capsys):
    """Its attention is 0 everywhere: it is counted, and as bad as attention without a clue."""
    assert made.evaluate(tmp_path / "out", run=make_run(tmp_path / "r", made.shards, dead=True)) == 0
    found = part(tmp_path / "out", "mask", "all")
    assert found["blank"] == found["fake"] > 0
    figures = {name: figure["value"] for name, figure in found["figures"].items()}
    assert figures["outside"] == pytest.approx(1 - figures["area"])
    assert figures["pointing"] == pytest.approx(figures["area"])
    assert read(tmp_path / "out/metrics.json")["maps_blank"] == found["fake"]
    assert f"{found['blank']:,} of them have no attention" in capsys.readouterr().out
    row = re.search(
        r"all fakes</th>(.*?)</tr>",
        (tmp_path / "out/evaluation.html").read_text("utf-8").split('id="localisation"')[1],
        re.DOTALL,
    )
    assert re.findall(r">([\d,]+)</td>", row[1])[2] == f"{found['blank']:,}"


def test_the_runs_record_says_what_it_has_seen(made, tmp_path):
    """Its shards may be gone, and its filter says nothing of the run that it started from."""
    run = make_run(tmp_path / "r", tmp_path / "gone", methods=("Deepfakes", "FaceSwap"))
    assert made.evaluate(tmp_path / "out", run=run) == 0
    assert read(tmp_path / "out/evaluation.json")["seen"] == ["Deepfakes", "FaceSwap"]
    html = (tmp_path / "out/evaluation.html").read_text("utf-8")
    assert "the runs it started from: Deepfakes, FaceSwap." in html
    assert "masks by" not in html


def test_the_page_says_whose_masks_it_was_trained_on(made, tmp_path):
    run = make_run(tmp_path / "r", made.shards, record={"labelled": 3, "sources": ("human", "oracle")})
    assert made.evaluate(tmp_path / "out", run=run) == 0
    assert "3 with a mask, masks by people and oracle." in (tmp_path / "out/evaluation.html").read_text(
        "utf-8"
    )
    assert read(tmp_path / "out/evaluation.json")["run"]["sources"] == ["human", "oracle"]


@pytest.mark.parametrize("place", ["shards", "run"])
def test_it_does_not_write_into_what_it_reads(made, tmp_path, place):
    shards, run = tmp_path / "shards", tmp_path / "run"
    shards.symlink_to(made.shards)
    run.symlink_to(made.run)
    before = sorted(made.root.rglob("*"))
    with pytest.raises(UsageError, match="another stage's"):
        made.evaluate({"shards": made.shards, "run": made.run}[place] / "eval", shards=shards, run=run)
    assert sorted(made.root.rglob("*")) == before


def test_it_does_not_write_into_a_run_of_another_seed(made, tmp_path):
    other = make_run(tmp_path / "r1", made.shards, 1)
    with pytest.raises(UsageError, match="another stage's"):
        made.evaluate(other, "--also", other)


def test_runs_of_other_seeds_give_a_spread(made, out, tmp_path):
    other = make_run(tmp_path / "r1", made.shards, 1)
    kept = []

    def watched(*arguments):
        found = run_model(*arguments)
        kept.append(found.maps is not None)
        return found

    with mock.patch("training.evaluate.run_model", watched):
        assert made.evaluate(tmp_path / "out", "--also", other) == 0
    assert kept == [True, False]
    assert made.evaluate(tmp_path / "alone", run=other) == 0
    alone = [read(folder / "metrics.json")["auc"] for folder in (out, tmp_path / "alone")]
    seeds = read(tmp_path / "out/evaluation.json")["seeds"]
    wanted = ("frame", "all", "all", "auc")
    (found,) = (f for f in seeds["figures"] if (f["level"], f["kind"], f["name"], f["figure"]) == wanted)
    assert found["runs"] == 2
    assert found["mean"] == pytest.approx(np.mean(alone))
    assert found["deviation"] == pytest.approx(np.std(alone, ddof=1))
    assert found["low"] < found["mean"] < found["high"]
    assert [run["seed"] for run in seeds["runs"]] == [0, 1]
    assert 'id="seeds"' in (tmp_path / "out/evaluation.html").read_text("utf-8")


@pytest.mark.parametrize(("seed", "changes", "said"), [(1, {"latent": 4}, "train.latent"), (0, {}, "seed 0")])
def test_runs_that_differ_in_more_than_the_seed_are_refused(made, tmp_path, seed, changes, said):
    other = make_run(tmp_path / "r", made.shards, seed, **changes)
    with pytest.raises(UsageError, match=said):
        made.evaluate(tmp_path / "out", "--also", other)


@pytest.mark.parametrize(
    "record",
    [
        {"images": 47},
        {"requested": 1},
        {"labelled": 1},
        {"methods": ("FaceSwap",)},
        {"sources": ("human",)},
    ],
)
def test_runs_of_other_data_are_no_runs_of_other_seeds(made, tmp_path, record):
    other = make_run(tmp_path / "r", made.shards, 1, record=record)
    with pytest.raises(UsageError, match=f"differs from .* in {next(iter(record))};"):
        made.evaluate(tmp_path / "out", "--also", other)


def test_gallery_of_none(made, tmp_path):
    params = tmp_path / "params.yaml"
    params.write_text("train: {workers: 0}\nevaluate: {resamples: 5, gallery: 0}\n")
    assert made.evaluate(tmp_path / "out", "--params", params) == 0
    html = (tmp_path / "out/evaluation.html").read_text("utf-8")
    assert "No pictures" in html
    assert "image/jpeg" not in html


@pytest.mark.parametrize(
    "line", ["resamples: 0", "confidence: 1.0", "threshold: 1.0", "gallery: -1", "seed: -1"]
)
def test_parameters_that_cannot_be_used(made, tmp_path, line):
    params = tmp_path / "params.yaml"
    params.write_text(f"evaluate: {{{line}}}\n")
    with pytest.raises(UsageError, match=f"evaluate.{line.split(':')[0]}"):
        made.evaluate(tmp_path / "out", "--params", params)


def test_no_run(made, tmp_path):
    with pytest.raises(UsageError, match=r"run\.json"):
        made.evaluate(tmp_path / "out", run=tmp_path)


def test_no_samples_of_the_split(tmp_path, made):
    shards = make_shards(tmp_path / "shards", Corpus(groups=2, frames=1, failed=0))
    with pytest.raises(UsageError, match="test"):
        made.evaluate(tmp_path / "out", shards=shards)


def test_no_fakes(made, tmp_path):
    with pytest.raises(UsageError, match="no fakes"):
        made.evaluate(tmp_path / "out", "--where", "label == 'real'")


def test_a_model_that_says_nan(made, tmp_path):
    with pytest.raises(StoppedError, match="not finite"):
        made.evaluate(tmp_path / "out", run=make_run(tmp_path / "r", made.shards, nan=True))


def test_crops_of_another_size_are_scaled_and_mixed(made, tmp_path):
    shards = make_shards(
        tmp_path / "large", dataclasses.replace(CORPUS, dataset="large", groups=4, size=96, prefix="x")
    )
    assert made.evaluate(tmp_path / "out", "--shards", shards) == 0
    found = read(tmp_path / "out/evaluation.json")
    names = {p["name"] for p in found["parts"] if p["kind"] == "dataset"}
    assert names == {"demo", "large"}


def test_what_cannot_be_read_is_an_error_or_counted(made, tmp_path):
    shards = make_shards(tmp_path / "shards", CORPUS)
    url = next(path for path in sorted((shards / "test").glob("*.tar"))).relative_to(shards)

    def damage(members):
        first = next(name for name, _ in members if name.endswith(".jpg"))
        return [(name, b"no picture" if name == first else data) for name, data in members]

    edit_tar(shards, str(url), damage)
    with pytest.raises(UsageError, match="skip-broken"):
        made.evaluate(tmp_path / "out", shards=shards)
    assert made.evaluate(tmp_path / "out", "--skip-broken", shards=shards) == 0
    metrics = read(tmp_path / "out/metrics.json")
    assert metrics["images_lost"] == 1
    assert len(pd.read_parquet(tmp_path / "out/predictions.parquet")) == metrics["images"]
    assert "1 image could not be read" in (tmp_path / "out/evaluation.html").read_text("utf-8")


def frames(rows):
    """Images of group, clip, method, score."""
    table = pd.DataFrame(rows, columns=["group", "clip", "method", "score"])
    table["key"] = [f"k{number}" for number in range(len(table))]
    table["is_fake"] = table.method != "real"
    table = table.assign(label=table.is_fake.map({True: "fake", False: "real"}), dataset="d", split="test")
    table = table.assign(track=0, frame=range(len(table)), compression="c23", real=0.0, fake=table.score)
    table = table.assign(known=True, iou=0.5, pixel_auc=0.5, pointing=1.0, outside=0.5, iinc=0.2, area=0.1)
    return table.assign(blank=0.0)


def test_a_clip_scores_the_mean_of_its_frames():
    table = frames([("g", "a", "real", -3), ("g", "a", "real", 1), ("g", "b", "X", 1), ("g", "b", "X", 2)])
    clips = by_clip(table)
    assert clips.score.tolist() == [-1, 1.5]
    found = {p.level: p for p in detection(table, (), EvaluateParams(resamples=5)) if p.kind == "all"}
    assert found["frame"].figures["accuracy"].value == 0.75
    assert found["clip"].figures["accuracy"].value == 1
    assert (found["clip"].real, found["clip"].fake) == (1, 1)


def test_tracks_of_a_clip_are_clips_of_their_own():
    table = frames([("g", "a", "X", 1), ("g", "a", "X", 3)])
    table["track"] = [0, 1]
    assert by_clip(table).score.tolist() == [1, 3]


def test_localisation_of_no_known_mask():
    table = frames([("g", "a", "X", 1), ("g", "b", "real", 1)])
    table["known"] = False
    found = located(table, (), EvaluateParams(resamples=5))
    every = {(p.kind, p.unknown): p for p in found}
    assert every["all", 1].figures["iou"].reason == "no known masks"
    assert every["real", 1].figures["iinc"].value is None


def test_worst_errors_come_first_and_one_of_a_group():
    table = frames(
        [
            ("g", "a", "real", 0.1),
            ("g", "a", "real", 0.9),
            ("h", "b", "real", 0.5),
            ("g", "c", "X", 0.3),
            ("h", "d", "X", -0.7),
            ("h", "e", "Y", 0.2),
        ]
    )
    picked = pick(table, 5)
    assert picked["reals"] == [1, 2]
    assert picked["fakes"] == [4, 5, 3]
    assert set(picked) == {"reals", "fakes", "method X", "method Y", "method real"}
    assert pick(table, 0) == {}


def test_a_strip_shows_attention_and_outline():
    image = np.full((64, 64, 3), 120, np.uint8)
    attention, mask = np.zeros((16, 16)), np.zeros((64, 64), np.uint8)
    attention[:, 8:] = 1
    mask[16:48, 16:48] = 255
    drawn = strip(image, attention, mask)
    crop, over, outlined = (drawn[:, start : start + TILE] for start in (0, TILE + 4, 2 * TILE + 8))
    assert (crop == 120).all()
    assert over[:, TILE - 20 :].mean() > over[:, :20].mean() + 50
    at = TILE // 4
    assert np.abs(outlined[TILE // 2, at - 1 : at + 2].astype(int) - OUTLINE).sum(-1).min() < 30
    assert (outlined[TILE // 2, TILE // 2] == 120).all()
    unknown = strip(image, np.zeros((16, 16)), None)[:, 2 * TILE + 8 :]
    assert len(np.unique(unknown)) == 1
