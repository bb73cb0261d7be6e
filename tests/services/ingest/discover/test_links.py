"""Symbolic links in a library of folders."""

from pathlib import Path

from app.services.ingest.discover.folders import read_folders
from app.services.ingest.files import LibraryFolder
from tests.services.ingest.libraries import ATTACK, VTT, write_files


def test_links_are_left_out_and_listed(tmp_path: Path) -> None:
    write_files(
        tmp_path, {"outside/a.vtt": VTT, "secret.md": ATTACK, "secret.json": '{"title":"x"}'}
    )
    library = write_files(tmp_path / "library", {"ann/a.vtt": VTT, "ann/b.md": ATTACK})
    (library / "bob").symlink_to("../outside")
    (library / "cy").symlink_to("ann")
    (library / "ann/more").symlink_to("../../outside")
    (library / "ann/chain.md").symlink_to("secret.md")
    (library / "ann/secret.md").symlink_to("../../secret.md")
    (library / "ann/a.info.json").symlink_to("../../secret.json")
    (library / "loose.md").symlink_to("../secret.md")

    listing = read_folders(LibraryFolder(library))

    assert listing.keys == {"ann/a.vtt", "ann/b.md"}
    assert [entry.title for entry in listing.entries] == [None, None]
    assert sorted(listing.links) == [
        *("ann/a.info.json", "ann/chain.md", "ann/more", "ann/secret.md", "bob", "cy", "loose.md")
    ]
    assert listing.broken == ()


def test_followed_links_lead_anywhere_but_back(tmp_path: Path) -> None:
    write_files(tmp_path, {"outside/a.vtt": VTT})
    library = write_files(tmp_path / "library", {"ann/a.vtt": VTT})
    (library / "ann/loop").symlink_to(".")
    (library / "ann/up").symlink_to("..")
    (library / "bob").symlink_to("../outside")
    (tmp_path / "outside/library").symlink_to("../library")

    listing = read_folders(LibraryFolder(library, follow_links=True))

    assert listing.keys == {"ann/a.vtt", "bob/a.vtt"}
    assert listing.links == ("ann/loop", "ann/up", "bob/library")
