"""The results as Markdown tables."""

from collections.abc import Iterator, Mapping, Sequence

from bench.ingest.contest import NAMES, Result

Results = Mapping[tuple[int, int], Sequence[Result]]  # by number of records and page size


def one(results: Sequence[Result]) -> str:
    """All ways on the same pages, with the ratio to the ceiling if it took part."""
    ceiling = next((result for result in results if result.way == "ceiling"), None)
    lines = ["| way | records/s | slowest – fastest | of the ceiling |", "|---|---:|---:|---:|"]
    for result in results:
        slowest, fastest = result.rates
        ratio = f"{result.times_as_fast_as(ceiling):.3f}" if ceiling else ""
        name = NAMES[result.way]
        lines.append(f"| {name} | {result.rate:,.0f} | {slowest:,.0f} – {fastest:,.0f} | {ratio} |")
    return "\n".join(lines)


def by_records(results: Results, page_size: int) -> str:
    """A table for each number of records, for one page size."""
    tables = [
        f"{records:,} records in pages of {page_size:,}:\n\n{one(found)}"
        for (records, size), found in results.items()
        if size == page_size
    ]
    return "\n\n".join(tables)


def by_pages(results: Results) -> str:
    """Decant alone, with every page size."""
    heading = "| records | in pages of | Decant, records/s | of the ceiling | again, records/s |"
    return "\n".join([heading, "|---:|---:|---:|---:|---:|", *_by_pages(results)])


def _by_pages(results: Results) -> Iterator[str]:
    for (records, page_size), found in sorted(results.items()):
        of = {result.way: result for result in found}
        rate, ratio = f"{of['decant'].rate:,.0f}", f"{of['decant'].times_as_fast_as(of['ceiling']):.2f}"
        again = f"{of['decant-again'].rate:,.0f}" if "decant-again" in of else ""
        yield f"| {records:,} | {page_size:,} | {rate} | {ratio} | {again} |"


def steps(result: Result) -> str:
    """How the time of one way's last turn divides into steps."""
    lines = ["| step | µs a record | share |", "|---|---:|---:|"]
    for step, milliseconds in result.steps.items():
        share = milliseconds / sum(result.steps.values())
        lines.append(f"| {step} | {milliseconds * 1_000 / result.records:.1f} | {share:.0%} |")
    return "\n".join(lines)
