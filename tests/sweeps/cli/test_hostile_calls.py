"""Commands with hostile arguments: each ends in seconds with a status and short lines, never with a traceback."""

import os
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.sweeps.conftest import Call
from tests.sweeps.fabricated_grid import donor, store_with, written_grid

SLOWEST_SECONDS = 10.0
LONGEST_LINE = 3000

TEXTS = {
    "empty": "",
    "blank": " ",
    "tilde": "~nobody-here/x",
    "long": "x" * 100_000,
    "long path": "/".join(["x" * 200] * 30),
    "newlines": "a\nb\nc",
    "escape": "\x1b[31mred",
    "markup": "[bold]x[/bold]",
    "surrogate": "\udcff",
    "option": "--",
    "dots": "../../../../etc/passwd",
    "device": "/dev/null",
    "file": "file.txt",
    "folder": "folder",
    "pipe": "pipe",
    "loop": "loop",
    "memory": "memory://x",
    "unknown scheme": "klingon://x",
    "bad url": "s3://",
    "query": "sqlite:///x.db?mode=memory",
    "number": "-1",
    "huge": "9" * 5000,
    "nan": "nan",
    "percent": "%s%n{x}",
}

WHERE = (
    "seed=" + "9" * 5000, "seed<nan", "seed==0", "seed=0.5", "num_layers>=99999999999999999999", "control=sub",
    "control<zzz", "rule=__import__('os')", "rule=((a**64)**64)**64", "rule=" + "a+" * 5000 + "a", "a=b=c", "=", "seed",
    "seed=\n", "run_id=x", "penalty=1e400", "penalty=inf", "stage!=donor", "rivals=1", "subtask=1/0",
    "seed=" + " " * 50_000,
)  # fmt: skip

PLACES = {
    "grid": lambda text: [["plan", text], ["status", text], ["export", text], ["why", "ab", text]],
    "store": lambda text: [
        ["plan", "tiny.py", "--store", text],
        ["status", "tiny.py", f"--store={text}"],
        ["gc", "--store", text],
    ],
    "where": lambda text: [["plan", "tiny.py", "--where", text], ["status", "tiny.py", f"--where={text}"]],
    "rows": lambda text: [
        ["export", "tiny.py", f"--rows={text}"],
        ["report", "tiny.py", f"--rows={text}", "--output", "page"],
    ],
    "run": lambda text: [["why", text], ["why", text, "tiny.py"]],
    "others": lambda text: [
        ["plan", "tiny.py", f"--device={text}"],
        ["plan", "tiny.py", f"--price-per-hour={text}"],
        ["plan", "tiny.py", f"--device-name={text}"],
        ["sync", "tiny.py", f"--tracking-uri={text}"],
        ["retry", "tiny.py", f"--class={text}"],
        ["compare", text, "rows.parquet"],
        ["import", text],
        ["run", "tiny.py", f"--images={text}", "--device", "cpu", "--where", "seed=77"],
    ],
}


def calls() -> dict[str, list[list[str]]]:
    """The arguments of every call, by what is hostile in them."""
    texts = {name: [each for text in TEXTS.values() for each in place(text)] for name, place in PLACES.items()}
    texts["condition"] = [each for text in WHERE for each in PLACES["where"](text)]
    numbers = ("0", "-1", "x", "9" * 30)
    texts["number"] = [["plan", "tiny.py", f"--num-devices={value}", "--device-name", "cpu"] for value in numbers]
    texts["number"] += [["fly"], [], ["plan"], ["plan", "tiny.py", "extra"], ["plan", "--help"]]
    return texts


def test_hostile_calls_are_more_than_two_hundred() -> None:
    assert sum(map(len, calls().values())) >= 200


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a grid, a store that has begun, and things that are no files of ours."""
    written_grid(tmp_path)
    store_with(tmp_path, donor(0))
    (tmp_path / "file.txt").write_text("no file of ours")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    return tmp_path


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("part", calls())
def test_hostile_argument_of_a_command_ends_in_short_lines(
    subind: Call, place: Path, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    counts, wrong = Counter[int](), []
    for arguments in calls()[part]:
        shown, start = " ".join(arguments)[:120], time.process_time()
        try:
            status, out, err = subind(*arguments)
        except Exception as error:  # noqa: BLE001  what is reported below, with the rest
            wrong.append(f"{shown!r}: {type(error).__name__}: {error}"[:400])
            continue
        counts[status] += 1
        longest = max(map(len, err.splitlines()), default=0)
        if "Traceback" in out + err or longest > LONGEST_LINE or (status and not err + out) or status not in {0, 1, 2}:
            wrong.append(f"{shown!r}: status {status}, longest line {longest}: {err[:300]}")
        if time.process_time() - start > SLOWEST_SECONDS:
            wrong.append(f"{shown!r}: {time.process_time() - start:.0f} s")
    with capsys.disabled():
        print(f"\n{part}: {counts.total()} hostile calls, by status {dict(counts)}; {len(wrong)} wrong")
    assert wrong == [], "\n".join(wrong)
    assert not (place / "~").exists()
