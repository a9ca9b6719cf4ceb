"""The pane of long work: what is copied where, how far it is, and when it will be done."""

from collections.abc import Hashable
from typing import TYPE_CHECKING, Final, NamedTuple

from textual.strip import Strip

from dsttool.engine.vocabulary.status import JobStatus
from dsttool.tui import cells, look
from dsttool.tui.look import UNKNOWN, Cell
from dsttool.tui.subject import Subject
from dsttool.tui.table import Column, Table

if TYPE_CHECKING:
    from dsttool.engine.control.picture import Picture

_BAR: Final = 10


class Job(NamedTuple):
    """A row. number: among the jobs of its array."""

    subject: Subject
    number: int
    entry: JobStatus
    stale: bool


class JobList(Table[Job]):
    """The jobs of all daemons."""

    LABEL = "JOBS"
    COLUMNS = (
        Column("JOB", 7),
        Column("OF", 10, grow=True),
        Column("STATE", 10),
        Column("", _BAR, keep=2),
        Column("%", 3, right=True),
        Column("DONE", 8, keep=4, right=True),
        Column("TOTAL", 8, keep=5, right=True),
        Column("MiB/s", 7, keep=1, right=True),
        Column("LEFT", 5, right=True),
    )

    @property
    def subject(self) -> Subject | None:
        """The member, or the array, that the job is about."""
        return self.row.subject if self.row else None

    def show(self, picture: "Picture", now_ns: int) -> None:
        """As Panel's."""
        rows = []
        for place, name, array in picture.arrays():
            daemon = picture.places[place].daemons[name]
            for number, job in enumerate(array["jobs"]):
                member = job.get("member") or ""
                subject = Subject("node" if member else "array", place, name, array["name"], member)
                rows.append(Job(subject, number, job, daemon.stale(now_ns)))
        self.annotate("" if rows else "none")
        if bool(rows) != bool(self._rows):
            self.refresh()
        self.fill(rows)

    def key(self, row: Job) -> Hashable:
        """As Table's."""
        return (row.subject, row.entry["kind"], row.number)

    def row_role(self, row: Job) -> look.Role | None:
        """Grey is what is only remembered."""
        return "dim" if row.stale else None

    def cells(self, row: Job) -> tuple[Cell, ...]:
        """As Table's."""
        job = row.entry
        done, total = job["done_bytes"], job["total_bytes"]
        share = done / total if total else None
        return (
            job["kind"],
            row.subject.label,
            look.state(job["state"]),
            (cells.bar(share, _BAR), "busy") if share is not None else UNKNOWN,
            UNKNOWN if share is None else str(int(share * 100)),
            cells.size(done),
            cells.size(total),
            cells.rate(job["rate_bytes"]),
            cells.age(job["eta_ns"]),
        )

    def draw(self, y: int) -> Strip:
        """As Table's; without any job not even the heads of the columns."""
        return super().draw(y) if self._rows else Strip.blank(self.size.width, self.paint(""))
