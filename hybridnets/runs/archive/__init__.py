"""Archives: finished runs in one small file, and back, without pixels, weights, host names and paths.

container.py     one file of a header and arrays: equal content gives equal bytes, and a damaged file is refused
columns.py       the predictions of many runs, packed by the images that they are about
privacy.py       texts and attempts without host names and paths
packing.py       from folders of runs to an archive
unpacking.py     from an archive to folders of runs
"""

from hybridnets.runs.archive.container import ArchiveError
from hybridnets.runs.archive.packing import pack
from hybridnets.runs.archive.unpacking import Archive

__all__ = ["Archive", "ArchiveError", "pack"]
