"""Faces in a frame: full-range detection, then a face mesh."""

from dataclasses import dataclass

import cv2
import numpy as np

from transforms.mesh import POINTS

# Edge of the picture that the mesh is found in: its model's input.
_MESH_INPUT = 192
# Half-edges of that picture in edges of the detected box, tried in this order.
_MESH_REACH = (1.0, 0.75, 1.5)


@dataclass(frozen=True)
class Face:
    """A face in a frame.

    Attributes:
      score: detector's confidence, 0 to 1.
      points: (468, 2) float32, mesh points in frame pixels.
      blur: variance of the Laplacian of the face at 192 px; small is blurred.
    """

    score: float
    points: np.ndarray
    blur: float

    @property
    def box(self) -> np.ndarray:
        """(4,) float32: x0, y0, x1, y1 around the mesh, in frame pixels."""
        return np.concatenate([self.points.min(0), self.points.max(0)])


class FaceFinder:
    """MediaPipe's full-range face detector (small faces too), then Face Mesh around each detection.

    Every frame is treated alone, so that the result does not depend on what was seen before.

    Args:
      min_score: weakest detection that counts, 0 to 1.
      min_face: smallest face that counts: longer edge of its detected box in pixels.
      margin: of repeated edge pixels around the frame in which faces are detected, in edges of the frame: a
        face that fills the picture is found no other way.
    """

    def __init__(self, min_score: float = 0.5, min_face: int = 32, margin: float = 0.0):
        # Imported here: it takes a second and much memory, and only the process that detects needs it.
        from mediapipe.python.solutions import face_detection, face_mesh

        self._min_face, self._margin = min_face, margin
        self._detector = face_detection.FaceDetection(model_selection=1, min_detection_confidence=min_score)
        self._mesh = face_mesh.FaceMesh(
            static_image_mode=True, max_num_faces=1, refine_landmarks=False, min_detection_confidence=0.3
        )

    def find(self, frame: np.ndarray) -> tuple[list[Face], int]:
        """Faces of a frame, (height, width, 3) uint8 RGB, the surest first, and how many were too small."""
        top, left = (round(self._margin * edge) for edge in frame.shape[:2])
        padded = cv2.copyMakeBorder(frame, top, top, left, left, cv2.BORDER_REPLICATE) if top else frame
        height, width = padded.shape[:2]
        faces, small = [], 0
        for detection in self._detector.process(padded).detections or []:
            box = detection.location_data.relative_bounding_box
            edge = max(box.width * width, box.height * height)
            if edge < self._min_face:
                small += 1
                continue
            center = (
                (box.xmin + box.width / 2) * width - left,
                (box.ymin + box.height / 2) * height - top,
            )
            face = self._fit(frame, center, edge, float(detection.score[0]))
            if face is not None:
                faces.append(face)
        return sorted(faces, key=lambda face: -face.score), small

    def _fit(self, frame: np.ndarray, center: tuple[float, float], edge: float, score: float) -> Face | None:
        for reach in _MESH_REACH:
            zoom = _MESH_INPUT / (2 * reach * edge)
            matrix = np.array(
                [
                    [zoom, 0, _MESH_INPUT / 2 - zoom * center[0]],
                    [0, zoom, _MESH_INPUT / 2 - zoom * center[1]],
                ]
            )
            picture = cv2.warpAffine(
                frame,
                matrix,
                (_MESH_INPUT, _MESH_INPUT),
                flags=cv2.INTER_LINEAR,
                borderMode=cv2.BORDER_REPLICATE,
            )
            found = self._mesh.process(picture).multi_face_landmarks
            if not found:
                continue
            points = np.array([(point.x, point.y) for point in found[0].landmark[:POINTS]]) * _MESH_INPUT
            inside = np.clip(points, 0, _MESH_INPUT - 1).astype(int)
            (x0, y0), (x1, y1) = inside.min(0), inside.max(0) + 1
            gray = cv2.resize(cv2.cvtColor(picture[y0:y1, x0:x1], cv2.COLOR_RGB2GRAY), (_MESH_INPUT,) * 2)
            blur = float(cv2.Laplacian(gray, cv2.CV_32F).var())
            # MediaPipe puts 0 at the corner of the first pixel, and OpenCV's warp at its centre.
            return Face(score, ((points - 0.5 - matrix[:, 2]) / zoom).astype(np.float32), blur)
        return None
