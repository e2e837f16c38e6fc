"""What a person can do about each reason that an outcome may have."""

from schemas.outcome import Reason

REMEDIES: dict[Reason, str] = {
    "not_in_layout": "Nothing, if it is not a clip; else compare its path with the layout's in docs.",
    "not_in_split": "Nothing, if the official lists leave it out by design; else set unlisted_split.",
    "bad_name": "Rename the file to what the layout expects, then index again.",
    "key_collision": "Two files would get one key (they differ in suffix only): remove or rename one.",
    "missing": "Put the file back, or index again.",
    "empty_file": "Download the file again: it has no bytes.",
    "not_video": "Remove it, or download it again: it is not a video.",
    "not_image": "Remove it, or download it again: it is not a picture.",
    "too_large": "Nobody needs a picture of that size: look at where the file came from.",
    "unsafe_member": "An archive holds what must not be unpacked: look at where it came from.",
    "taken_down": "Nothing: a person asked for it (takedowns.csv).",
    "no_frames": "Download it again: it is a video without a frame.",
    "unreadable": "Download it again, or check who may read it.",
    "outside_root": "A link leads out of the dataset's folder: put the file inside.",
    "no_original": "Get the group's real clip: without it there is no geometry and no measured mask.",
    "no_face": "Look at the clip; lower track.min_score if there is a face.",
    "face_too_small": "Lower track.min_face if such small faces are of use.",
    "track_too_short": "Lower track.min_frames, or raise track.max_gap.",
    "decode_error": "Copy or download the file again, then rerun with --retry-failed.",
    "decode_crashed": "Try the file in another player; if it is whole, raise run.clip_memory.",
    "decode_timeout": "Raise run.clip_timeout, or use a faster disk, then rerun with --retry-failed.",
    "changed_on_disk": "The file is not what was indexed: index again.",
    "no_track": "See what the track stage says of the group.",
    "other_size": "Its frames have another size than was indexed: index again, or re-encode it.",
    "too_few_frames": "Lower frames.length or frames.stride.",
    "internal_error": "A bug, or a worker that died: rerun with --retry-failed; report it if it comes again.",
    "damaged": "Restore the shard (dvc checkout) or build it again.",
}


def remedy(reason: str) -> str:
    """What to do about a reason; "" for one that is not known here."""
    return next((text for known, text in REMEDIES.items() if known == reason), "")
