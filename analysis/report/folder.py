"""The folder of a report: made next to its place and moved there file by file once it is whole.

`report.json` lists the files that a report has written. The next report removes those that it does not replace; files
that no report has written stay.
"""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

MANIFEST = "report.json"

OWN_NAME = re.compile(r"(latex/)?[\w-][\w.-]*")
"""What a report's files are called; a list of other names is not a report's."""


@contextmanager
def fresh_folder(folder: Path) -> Iterator[Path]:
    """An empty folder; what is in it when the block ends without an error takes the place of the earlier report.

    An error leaves the earlier report as it was.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{folder.name}-", dir=folder.parent) as name:
        new = Path(name)
        yield new
        names = sorted(path.relative_to(new).as_posix() for path in new.rglob("*") if path.is_file())
        (new / MANIFEST).write_text(json.dumps({"files": names}, indent=1), encoding="utf-8")
        _move(new, folder, names)


def report_files(folder: Path) -> Sequence[str]:
    """The files that the report in the folder has written, by their paths in it; none if there is no list of them."""
    try:
        names = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return ()
    is_own = isinstance(names, list) and all(isinstance(name, str) and OWN_NAME.fullmatch(name) for name in names)
    return names if is_own else ()


def _move(new: Path, folder: Path, names: Sequence[str]) -> None:
    earlier = report_files(folder)
    for name in (*names, MANIFEST):
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        (new / name).replace(place)
    for name in set(earlier).difference(names):
        (folder / name).unlink(missing_ok=True)
