"""Summary of a finished run."""

from msgspec.structs import replace

from app.services.ingest.report import Report, summary

REPORT = Report(
    library="demo",
    creators=2,
    videos=1_200,
    pages=3,
    passages=45_000,
    words=6_700_000,
    added=5,
    changed=0,
    unchanged=1_198,
    removed=1,
    broken=(("ann/x.srt", "contains no captions"),),
    skipped=4,
    unassigned=(),
    links=(),
    seconds=12.34,
)


def test_summary_lists_counts_and_broken_files() -> None:
    lines = summary(REPORT).splitlines()

    assert lines[:6] == [
        "demo: 5 added, 1 removed, 1 broken, 1,198 unchanged, in 12.3 s",
        "  creators          2",
        "  videos        1,200",
        "  pages             3",
        "  passages     45,000",
        "  words     6,700,000",
    ]
    assert "4 files" in lines[6]
    assert lines[7:] == ["  broken: ann/x.srt: contains no captions"]


def test_summary_uses_the_singular_for_one_file() -> None:
    *_, skipped, unassigned, _ = summary(
        replace(REPORT, skipped=1, unassigned=("guest.md",))
    ).splitlines()

    assert "1 file " in skipped
    assert "1 file " in unassigned
    assert unassigned.endswith(": guest.md")


def test_summary_names_only_the_first_of_many_unassigned_files() -> None:
    paths = tuple(f"{number}.md" for number in range(1_012))

    *_, unassigned, _ = summary(replace(REPORT, unassigned=paths)).splitlines()

    assert "1,012 files" in unassigned
    assert unassigned.endswith(
        ": 0.md, 1.md, 2.md, 3.md, 4.md, 5.md, 6.md, 7.md, 8.md, 9.md and 1,002 more"
    )


def test_summary_names_the_first_of_many_symbolic_links() -> None:
    *_, links, _ = summary(replace(REPORT, links=("ann/a.md", "bob"))).splitlines()
    *_, many, _ = summary(replace(REPORT, links=("x",) * 12)).splitlines()

    assert links == "  skipped 2 symbolic links; --follow-links reads links: ann/a.md, bob"
    assert many.endswith(", x and 2 more")


def test_summary_escapes_control_and_direction_characters() -> None:
    path = "a\x1b[2J\nb\u202e\u2066\udcff.md"
    report = replace(
        REPORT, library=path, broken=((path, path),), unassigned=(path,), links=(path,)
    )

    text = summary(report)

    assert text.count(r"a\x1b[2J\nb\u202e\u2066\udcff.md") == 5
    assert all(line.isprintable() for line in text.splitlines())


def test_summary_cuts_a_long_path() -> None:
    assert len(summary(replace(REPORT, broken=(("a" * 12_000, "is broken"),)))) < 1_000
