"""Label Studio's project of some requests: crops go there, answers come back."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from tqdm import tqdm

from pipelines.annotation import label_studio_export
from pipelines.annotation.label_studio_answers import read_answers, request_of
from pipelines.annotation.label_studio_client import Client
from pipelines.annotation.question import Requests
from schemas.errors import UsageError
from schemas.request import LabelRequest
from transforms import brush_rle
from transforms.labelling import Answer

# Above the picture stands what is asked: below it, it would be out of sight.
CONFIG = """<View>
  <Header value="Is this face forged? Choose, then paint what is forged." size="5"/>
  <View style="display: flex; gap: 2em; align-items: center">
    <Choices name="verdict" toName="image" choice="single" showInline="true" required="true">
      <Choice value="forged"/><Choice value="authentic"/><Choice value="unusable"/>
    </Choices>
    <BrushLabels name="mask" toName="image"><Label value="forged" background="#ff0000"/></BrushLabels>
  </View>
  <Image name="image" value="$image" maxWidth="600px" zoom="true" zoomControl="true" brightnessControl="true"
    contrastControl="true"/>
</View>
"""

HIDDEN = 0.15
"""Share of tasks that do not show the proposal, so that its influence can be measured."""

_BATCH = 50


@dataclass
class LabelStudio:
    """A server that people answer on.

    Attributes:
      client: signed in.
      requests: to push, and to pull answers of.
      annotators: how many people each is asked; None leaves a project as it is (a new one: one).
      project: its address, once `answers` has begun.
      pushed: tasks that were new.
    """

    client: Client
    requests: Requests
    annotators: int | None = None
    by: Literal["oracle", "human"] = "human"
    project: str = field(default="", init=False)
    pushed: int = field(default=0, init=False)

    def answers(self, out: Path) -> Iterator[Answer]:
        """Push what is not there, pull all answers, and keep them in `out`'s export.

        Raises:
          UsageError, StoppedError: as `Client`; also where `out` holds answers of a project that is gone.
        """
        export = out / label_studio_export.NAME
        before = label_studio_export.read_export(export) if export.exists() else []
        number = self._open(export if label_studio_export.has_answers(before) else None)
        self.project = f"{self.client.url}/projects/{number}"
        tasks = self.client.export(number)
        missing = self._missing(tasks)
        if missing:
            self._push(number, missing)
            tasks = self.client.export(number)
        yield from read_answers(label_studio_export.keep_export(export, tasks), self.requests)

    def notes(self, waiting: int) -> list[str]:
        """Where to go."""
        pushed = f" ({self.pushed} tasks are new)" if self.pushed else ""
        if not waiting:
            return [f"all are answered: {self.project}{pushed}"]
        return [
            f"to answer: {self.project}/data?labeling=1{pushed}",
            "then run this again; it takes what is new",
        ]

    def _open(self, export: Path | None) -> int:
        """The project's number; makes it where it is not there and no answers are known of it."""
        title = f"lae r{self.requests.rows[0].round} {self.requests.digest[:8]}"
        for project in self.client.projects(title):
            if self.annotators not in (None, project.maximum_annotations):
                self.client.change_project(project.id, maximum_annotations=self.annotators)
            return project.id
        if export is not None:
            raise UsageError(
                f"{export}: holds answers, but {self.client.url} has no project {title!r} any more; ingest "
                f"them with --from label-studio:{export}, or give another --out to ask again"
            )
        return self.client.make_project(
            title=title,
            description=f"{len(self.requests.rows)} crops of {self.requests.folder.name}",
            label_config=CONFIG,
            maximum_annotations=self.annotators or 1,
            show_collab_predictions=True,
            model_version=self._model,
        ).id

    @property
    def _model(self) -> str:
        return f"round-{self.requests.rows[0].round}"

    def _missing(self, tasks: list[Any]) -> list[LabelRequest]:
        known = {request_of(task) for task in tasks}
        return [request for request in self.requests.rows if request.request_id not in known]

    def _push(self, number: int, missing: list[LabelRequest]) -> None:
        with tqdm(total=len(missing), desc="push", unit="task", disable=None) as bar:
            for start in range(0, len(missing), _BATCH):
                batch = missing[start : start + _BATCH]
                crops = {request.request_id: self.requests.crop(request) for request in batch}
                images = self.client.upload(number, crops)
                tasks = [self._task(request, images[request.request_id]) for request in batch]
                self.client.add_tasks(number, tasks)
                self.pushed += len(batch)
                bar.update(len(batch))

    def _task(self, request: LabelRequest, image: str) -> dict[str, Any]:
        proposal = self.requests.proposal(request) > 127
        lot = int(hashlib.sha256(f"proposal|{request.request_id}".encode()).hexdigest()[:8], 16) / 2**32
        shown = "empty" if not proposal.any() else "hidden" if lot < HIDDEN else "shown"
        data = {
            "image": image,
            "request_id": request.request_id,
            "crop_sha256": request.crop_sha256,
            "round": request.round,
            "rank": request.rank,
            "proposal_shown": shown,
        }
        if shown != "shown":
            return {"data": data}
        region = {
            "id": "proposal",
            "type": "brushlabels",
            "from_name": "mask",
            "to_name": "image",
            "original_width": request.size,
            "original_height": request.size,
            "image_rotation": 0,
            "value": {"format": "rle", "rle": brush_rle.encode(proposal), "brushlabels": ["forged"]},
        }
        prediction = {"model_version": self._model, "result": [region]}
        return {"data": data, "predictions": [prediction]}
