"""The report of a sweep: tables and figures as files, one self-contained page that shows them all, and LaTeX.

`write_report(rows, output)` is the whole interface of the command line to this package.
"""

import base64
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from analysis import sections
from analysis.elements.section import Filled, Results, Section, declared, filled
from analysis.report import failures
from analysis.report.artifacts import FigureFiles, write_table
from analysis.report.folder import fresh_folder
from analysis.report.latex import write_bundle
from analysis.rows import images, published, recipients
from analysis.rows.load import row_fingerprint, transfers
from analysis.rows.wording import DASH, listed
from analysis.sections import figure_3

TEMPLATE = "report.html"
PAGE = "index.html"

PACKAGES = ("matplotlib", "numpy", "pandas", "pyarrow", "scipy")


def write_report(rows: Path, output: Path) -> Path:
    """Write the tables and figures of the result rows into the folder `output`; the path of its index.html.

    Figures are drawn for every setting: figure_3.png if there is one, else figure_3-1.png and so on; what an earlier
    report has written to the folder is replaced. The folder `latex` holds a document that compiles. Raises
    FileNotFoundError or ValueError if the rows cannot be read.
    """
    results = Results.read(Path(rows))
    fingerprint = _fingerprint(results)
    with fresh_folder(Path(output)) as folder:
        several = []
        with FigureFiles() as files:
            for section in declared(sections):
                each = filled(section, results)
                if each is not None:
                    several.append(each)
                    _write_files(each, folder, files, fingerprint=fingerprint)
        words = _words(results, [each.section for each in several], fingerprint=fingerprint)
        write_bundle(several, folder, title=words.title, methods=words.methods, fingerprint=fingerprint)
        (folder / PAGE).write_text(_page(words, several, folder=folder), encoding="utf-8")
    return Path(output) / PAGE


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """What a page says around its sections."""

    title: str
    experiment: str
    methods: list[str]
    failures: list[dict[Any, Any]]
    commits: list[str]
    fingerprint: str


def _fingerprint(results: Results) -> str:
    """The fingerprint of all rows; where all are of arithmetic or of images that of these."""
    is_known = len(results.arithmetic) + len(results.images) > 0
    known = [images.fingerprint(results.arithmetic, results.images)] if is_known else []
    more = [each.drop(columns="parent_ids") for each in (results.others, results.measured) if len(each)]
    return recipients.joined([*known, *map(row_fingerprint, more)])


def _words(results: Results, several: list[Section], *, fingerprint: str) -> Words:
    """What a page says of the rows."""
    every = results.every()
    experiments = [
        _experiment(transfers(results.arithmetic)),
        _of_images(results.images),
        _of_others(transfers(results.others)),
    ]
    methods = [each for section in several for each in section.methods]
    if len(results.arithmetic):
        methods += [figure_3.replication(results.arithmetic), _published_note(results)]
    return Words(
        title=f"Subtask Induction: {listed(sorted(set(every['grid'])))}",
        experiment=" ".join(filter(None, experiments)),
        methods=list(dict.fromkeys(methods)),
        failures=failures.table(every).to_dict("records"),
        commits=_commits(every),
        fingerprint=fingerprint,
    )


def _write_files(each: Filled, folder: Path, files: FigureFiles, *, fingerprint: str) -> None:
    if each.content.table is not None and each.shown is not None:
        write_table(each.content.table, each.shown, stem=folder / each.section.name, fingerprint=fingerprint)
    for picture in each.content.pictures:
        source = picture.fingerprint or fingerprint
        files.write(picture.draw, stem=folder / picture.name, title=picture.title, fingerprint=source)


def _page(words: Words, several: list[Filled], *, folder: Path) -> str:
    loader = jinja2.PackageLoader("analysis.report")
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    pictures = [picture for each in several for picture in each.content.pictures]
    return environment.get_template(TEMPLATE).render(
        title=words.title,
        experiment=words.experiment,
        sections=several,
        uris={each.name: _data_uri(folder / f"{each.name}.svg") for each in pictures},
        failures=words.failures,
        methods=words.methods,
        fingerprint=words.fingerprint,
        commits=words.commits,
        versions=", ".join(f"{name} {version(name)}" for name in PACKAGES),
    )


def _of_images(rows: pd.DataFrame) -> str:
    """What was trained on images, in words; empty without image classifiers."""
    if rows.empty:
        return ""
    given = images.measured(rows)
    models = listed(sorted(set(rows["model"])))
    return f"Image classifiers {models} from {given['start'].nunique()} starts; {given['seed'].nunique()} seed(s)."


def _of_others(given: pd.DataFrame) -> str:
    """What recipients of any other task learn, in words; empty without any."""
    if given.empty:
        return ""
    tasks, networks = (listed(sorted(set(given[name].dropna()))) for name in ("task", "model"))
    starts = f"{given['control'].nunique()} start(s), {given['seed'].nunique()} seed(s)"
    return f"Recipients learn {tasks}; network {networks}; {starts}."


def _experiment(given: pd.DataFrame) -> str:
    """What the recipients learn, in words; empty without transfers."""
    if given.empty:
        return ""
    return (
        f"Recipients learn {_every(given, 'rule')} mod {_every(given, 'modulus')} over "
        f"{_every(given, 'num_integers', ',')} integers from {_every(given, 'num_ambiguous', ',')} ambiguous samples "
        f"and a few that disambiguate; width {_every(given, 'd_model')}, depth {_every(given, 'num_layers')}, "
        f"{given['seed'].nunique()} seed(s)."
    )


def _every(given: pd.DataFrame, name: str, form: str = "") -> str:
    """The values of a column in words."""
    return listed([format(value, form) for value in sorted(given[name].dropna().unique())] or [DASH])


def _published_note(results: Results) -> str:
    found = results.settings
    comparable = [each for each in found if published.is_comparable(each.rows)]
    if not comparable:
        return "No published numbers stand here, for these rows have another setting than the published one."
    where = "; ".join(each.title for each in comparable)
    return (
        f"Published numbers ({published.SOURCE}) were read off its vector figures; the figure and the number of runs "
        "are named next to each. Its random and complement controls are those of its released code, so they "
        "stand beside random as released and complement as released. Published means over depths are one run per depth."
    ) + (f" They stand only next to the published setting: {where}." if len(comparable) < len(found) else "")


def _commits(loaded: pd.DataFrame) -> list[str]:
    """The commits that computed the finished rows, with the number of rows of each."""
    finished = loaded[loaded["status"] == "finished"]
    counts = finished.groupby(["commit", "dirty", "device"], dropna=False, as_index=False).size()
    return [_commit(*each) for each in counts.itertuples(index=False, name=None)]


def _commit(commit: Any, dirty: Any, device: Any, num: int) -> str:
    is_known = not pd.isna(commit) and bool(commit)
    name = f"commit {commit}" if is_known else "no commit recorded"
    unknown = "; whether the code had uncommitted changes is not known"
    state = unknown if pd.isna(dirty) or not is_known else ", with uncommitted changes" if dirty else ""
    place = "" if pd.isna(device) else f", on {device}"
    return f"{num:,} finished rows: {name}{state}{place}"


def _data_uri(svg: Path) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(svg.read_bytes()).decode()
