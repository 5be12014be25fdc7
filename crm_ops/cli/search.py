"""`crm-ops search`: one page of an entity's rows, the total, and the counts of every facet."""

from __future__ import annotations

from typing import Annotated

import typer

from crm_ops.cli import asked, options, output
from crm_ops.read.answers import Answer, Bucket

# So many buckets of a facet fit on a screen beside the others.
_SHOWN = 12


def command(
    entity: Annotated[str, typer.Argument(help="An entity of the catalog.")],
    tenant: options.Tenant = None,
    filter_by: options.Filters = None,
    text: Annotated[str, typer.Option("--text", help="Look for this in the declared texts.")] = "",
    sort: Annotated[
        str | None,
        typer.Option("--sort", help="A declared column; with a - in front: falling."),
    ] = None,
    limit: Annotated[int, typer.Option("--limit", help="Rows of a page; 0: only counts.")] = 20,
    after: Annotated[
        str | None, typer.Option("--after", help="The cursor that the page before ended with.")
    ] = None,
    as_user: Annotated[
        str | None, typer.Option("--as-user", help="Only what this user may see.")
    ] = None,
    max_age: options.MaxAge = None,
    explain: options.Explain = False,
    as_json: options.Json = False,
    database_url: options.DatabaseUrl = None,
    redis_url: options.RedisUrl = None,
    catalog: options.CatalogPath = None,
) -> None:
    """Search an entity: one page of rows, the exact total, and the counts of every facet.

    For example `crm-ops search lead --tenant 1 --filter status=new --filter score=50..`; exit 2
    where something is asked for that is not declared, naming what is.
    """
    with asked.reader(database_url, redis_url, catalog, users=as_user is not None) as reader:
        answer = reader.search(
            entity,
            tenant=tenant,
            filters=asked.filters(filter_by),
            text=text,
            sort=sort,
            limit=limit,
            after=after,
            as_user=as_user,
            not_older_than=asked.moment(max_age),
        )
    if as_json:
        output.json(_data(answer, explain=explain))
        return
    _show(answer)
    if explain:
        output.steps(answer.steps)


def _data(answer: Answer, *, explain: bool) -> dict[str, object]:
    found: dict[str, object] = {
        "rows": answer.rows,
        "total": answer.total,
        "facets": answer.facets,
        "next": answer.next,
        "as_of": answer.as_of,
        "source": answer.source,
    }
    return {**found, "steps": asked.explained(answer.steps)} if explain else found


def _show(answer: Answer) -> None:
    if answer.rows:
        output.records(list(answer.rows[0]), [list(row.values()) for row in answer.rows])
    for name, facet in answer.facets.items():
        rows: list[tuple[str, object]] = [
            (_named(bucket), bucket.count) for bucket in facet.buckets[:_SHOWN]
        ]
        if len(facet.buckets) > _SHOWN:
            rows.append((f"({len(facet.buckets) - _SHOWN} more, all with --json)", ""))
        if facet.other:
            rows.append(("(other)", facet.other))
        if rows:
            output.table((name, "rows"), rows, numbers=1)
    output.note(
        f"{answer.total:,} in all; counts from {answer.source}, as of"
        f" {output.text(answer.as_of)} UTC"
    )
    if answer.next is not None:
        output.note(f"next page: --after {answer.next}")


def _named(bucket: Bucket) -> str:
    if bucket.value is None or bucket.label is None:
        return bucket.label or str(bucket.value)
    return f"{bucket.label} ({bucket.value})"


__all__ = ["command"]
