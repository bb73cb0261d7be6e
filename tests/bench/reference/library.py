"""Full-text search of the library's tables with SQLAlchemy."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from pydantic import BaseModel
from sqlalchemy import ForeignKey, Select, func, literal_column, select
from sqlalchemy.dialects.postgresql import JSONB, TSVECTOR
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, joinedload, mapped_column, relationship

MAX_PASSAGES = 6


class Base(DeclarativeBase):
    pass


class CreatorRow(Base):
    __tablename__ = "creators"
    id: Mapped[int] = mapped_column(primary_key=True)
    slug: Mapped[str]
    name: Mapped[str]


class DocumentRow(Base):
    __tablename__ = "documents"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    url: Mapped[str | None]
    kind: Mapped[str]
    creator_id: Mapped[int] = mapped_column(ForeignKey("creators.id"))
    creator: Mapped[CreatorRow] = relationship()


class TextRow(Base):
    __tablename__ = "passage_texts"
    passage_id: Mapped[int] = mapped_column(ForeignKey("passages.id"), primary_key=True)
    sentences: Mapped[list[list[object]]] = mapped_column(JSONB)
    start_seconds: Mapped[float | None]
    end_seconds: Mapped[float | None]


class PassageRow(Base):
    __tablename__ = "passages"
    id: Mapped[int] = mapped_column(primary_key=True)
    document_id: Mapped[int] = mapped_column(ForeignKey("documents.id"))
    search: Mapped[str] = mapped_column(TSVECTOR, deferred=True)
    document: Mapped[DocumentRow] = relationship()
    text: Mapped[TextRow] = relationship()


class Passage(BaseModel):
    number: int
    kind: str
    title: str
    creator: str
    slug: str
    url: str | None
    start_seconds: float | None
    end_seconds: float | None
    snippet: str
    score: float
    text: str


class Search:
    def __init__(self, session: AsyncSession) -> None:
        self._session = session

    async def cascade(self, question: str, creator: str | None) -> tuple[str, list[Passage]]:
        """Return the creator's passages, or the whole library's if those are too few."""
        words = " | ".join(re.findall(r"\w+", question.lower()))
        named = func.lower(CreatorRow.name) == (creator or "").lower()
        own = await self._passages(ranked(words).join(CreatorRow).where(named))
        every = await self._passages(ranked(words))
        return ("creator", own) if len(own) >= MAX_PASSAGES // 2 else ("global", every)

    async def _passages(self, query: "Select[tuple[PassageRow, float]]") -> list[Passage]:
        rows = (await self._session.execute(query)).unique().all()
        return [passage(number, row, score) for number, (row, score) in enumerate(rows, 1)]


def ranked(words: str) -> "Select[tuple[PassageRow, float]]":
    asked = func.to_tsquery(literal_column("'english'::regconfig"), words)
    score = func.ts_rank(PassageRow.search, asked).label("score")
    return (
        select(PassageRow, score)
        .join(PassageRow.document)
        .options(
            joinedload(PassageRow.document).joinedload(DocumentRow.creator),
            joinedload(PassageRow.text),
        )
        .where(PassageRow.search.op("@@")(asked))
        .order_by(score.desc())
        .limit(MAX_PASSAGES)
    )


def passage(number: int, row: PassageRow, score: float) -> Passage:
    text = " ".join(str(sentence[0]) for sentence in row.text.sentences)
    return Passage(
        number=number,
        kind="moment" if row.document.kind == "video" else "page",
        title=row.document.title,
        creator=row.document.creator.name,
        slug=row.document.creator.slug,
        url=row.document.url,
        start_seconds=row.text.start_seconds,
        end_seconds=row.text.end_seconds,
        snippet=text[:200],
        score=score,
        text=text,
    )


@asynccontextmanager
async def sessions(url: str) -> AsyncIterator["async_sessionmaker[AsyncSession]"]:
    engine = create_async_engine(
        url.replace("postgresql://", "postgresql+asyncpg://", 1), pool_size=10, max_overflow=10
    )
    yield async_sessionmaker(engine, expire_on_commit=False)
    await engine.dispose()
