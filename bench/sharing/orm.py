"""Decides as a CRM would write it with an ORM: objects, one after the other."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from bench.sharing.rules import concerns, matches


class Base(DeclarativeBase):
    metadata = sa.MetaData(schema="bench_sharing")


class Lead(Base):
    __tablename__ = "lead"
    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    owner_id: Mapped[int]
    status: Mapped[str]
    source: Mapped[str]
    score: Mapped[float] = mapped_column(sa.Numeric)
    deleted_at: Mapped[datetime | None]


class User(Base):
    __tablename__ = "app_user"
    id: Mapped[int] = mapped_column(primary_key=True)
    role_id: Mapped[int]
    is_active: Mapped[bool]


class Role(Base):
    __tablename__ = "role"
    id: Mapped[int] = mapped_column(primary_key=True)
    parent_id: Mapped[int | None]


class Member(Base):
    __tablename__ = "team_member"
    team_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)


class Share(Base):
    __tablename__ = "record_share"
    entity: Mapped[str] = mapped_column(primary_key=True)
    record_id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int] = mapped_column(primary_key=True)


class Rule(Base):
    __tablename__ = "sharing_rule"
    id: Mapped[int] = mapped_column(primary_key=True)
    company_id: Mapped[int]
    entity: Mapped[str]
    predicate: Mapped[Any] = mapped_column(sa.JSON)
    grantee_type: Mapped[str]
    grantee_id: Mapped[int | None]
    is_active: Mapped[bool]


def may(connection: sa.Connection, user: int, lead: int) -> bool:
    """In a session of the request."""
    with Session(connection) as session:
        record, person = session.get(Lead, lead), session.get(User, user)
        if record is None or record.deleted_at or person is None or not person.is_active:
            return False
        return (
            record.owner_id == user
            or _above_owner(session, person, record)
            or (
                session.get(Share, ("lead", lead, user)) is not None
                or any(matches(rule.predicate, _cells(record)) for rule in _rules(session, person))
            )
        )


def lookup(connection: sa.Connection, user: int) -> int:
    """How many rules concern a user."""
    with Session(connection) as session:
        person = session.get(User, user)
        return 0 if person is None else len(_rules(session, person))


def page(connection: sa.Connection, user: int, size: int) -> list[int]:
    """The newest leads that a user may see: pages of leads, filtered in the program."""
    found: list[int] = []
    with Session(connection) as session:
        person = session.get(User, user)
        if person is None or not person.is_active:
            return found
        rules = _rules(session, person)
        shared = sa.select(Share.record_id).where(Share.entity == "lead", Share.user_id == user)
        shares = set(session.scalars(shared))
        newest = sa.select(Lead).where(Lead.company_id == 1, Lead.deleted_at.is_(None))
        last = None
        while len(found) < size:
            part = newest if last is None else newest.where(Lead.id < last)
            leads = session.scalars(part.order_by(Lead.id.desc()).limit(200)).all()
            if not leads:
                break
            last = leads[-1].id
            found += [
                lead.id
                for lead in leads
                if lead.owner_id == user
                or lead.id in shares
                or _above_owner(session, person, lead)
                or any(matches(rule.predicate, _cells(lead)) for rule in rules)
            ]
    return found[:size]


def _rules(session: Session, person: User) -> list[Rule]:
    member = sa.select(Member).where(Member.user_id == person.id)
    teams = {each.team_id for each in session.scalars(member)}
    mine = _roles_up(session, person.role_id)
    wanted = sa.select(Rule).where(Rule.company_id == 1, Rule.entity == "lead", Rule.is_active)
    return [
        rule
        for rule in session.scalars(wanted)
        if concerns(rule.grantee_type, rule.grantee_id, person.id, person.role_id, mine, teams)
    ]


def _above_owner(session: Session, person: User, record: Lead) -> bool:
    owner = session.get(User, record.owner_id)
    if owner is None or owner.role_id == person.role_id:
        return False
    return person.role_id in _roles_up(session, owner.role_id)


def _cells(record: Lead) -> dict[str, Any]:
    return {"status": record.status, "source": record.source, "score": record.score}


def _roles_up(session: Session, role: int | None) -> set[int]:
    found: set[int] = set()
    while role is not None and role not in found:
        found.add(role)
        above = session.get(Role, role)
        role = above.parent_id if above is not None else None
    return found


__all__ = ["lookup", "may", "page"]
