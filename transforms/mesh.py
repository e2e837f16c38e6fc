"""MediaPipe's Face Mesh: which of its 468 points are what.

"Right" and "left" are the subject's: the right eye is on the left of an unmirrored picture.
"""

import numpy as np

POINTS = 468

# Closed contours, in order. The edges are those of mediapipe.python.solutions.face_mesh_connections, which
# is not imported here: that takes seconds, and every worker would pay them.
# fmt: off
FACE_OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
    152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # from the top of the forehead over the subject's left temple, the chin and the right temple
LIPS_OUTER = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
)  # from the right corner below to the left corner, and back above
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466)
# fmt: on

NOSE_TIP = 1
RIGHT_MOUTH_CORNER = 61
LEFT_MOUTH_CORNER = 291


def five_points(points: np.ndarray) -> np.ndarray:
    """The five landmarks that align a face.

    Args:
      points: (..., 468, 2), or with more points or coordinates behind these.

    Returns:
      (..., 5, 2), of the same dtype: right eye, left eye, nose tip, right and left corner of the mouth.
      An eye is the mean of its contour.
    """
    points = np.asarray(points)[..., :2]
    eyes = [points[..., contour, :].mean(-2) for contour in (RIGHT_EYE, LEFT_EYE)]
    others = [points[..., index, :] for index in (NOSE_TIP, RIGHT_MOUTH_CORNER, LEFT_MOUTH_CORNER)]
    return np.stack([*eyes, *others], axis=-2)
