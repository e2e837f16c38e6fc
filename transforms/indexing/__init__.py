"""From a dataset's files to clips, splits and media facts."""
