"""Licences by the words of Debian's own specification, and the list of those that are allowed."""

from pathlib import Path

import pytest

from convert.clips.licences import ALLOWED, NOT_STATED, check_phrase, debian_licences, is_allowed, spdx_of_debian

# Section 5.2.1 of https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/ ("Example files paragraphs");
# copying it is permitted "in any medium without royalty provided this notice is preserved". Its text goes on: "all
# files are copyright by the upstream and licensed under the GPL, version 2 or later, with three exceptions."
FILES_PARAGRAPHS = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 1975-2010 Ulla Upstream
License: GPL-2+

Files: debian/*
Copyright: 2010 Daniela Debianizer
License: GPL-2+

Files: debian/patches/fancy-feature
Copyright: 2010 Daniela Debianizer
License: GPL-3+

Files: */*.1
Copyright: 2010 Manuela Manpager
License: GPL-2+
"""
# Section 5.3, example 1 ("Tri-licensed files").
TRI_LICENSED = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: src/js/editline/*
Copyright: 1993, John Doe
           1993, Joe Average
License: MPL-1.1 or GPL-2 or LGPL-2.1

License: MPL-1.1
 [LICENSE TEXT]

License: GPL-2
 [LICENSE TEXT]

License: LGPL-2.1
 [LICENSE TEXT]
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "copyright"
    path.write_text(text)
    return path


def test_the_last_paragraph_that_matches_a_file_applies(tmp_path):
    licence_of = debian_licences(written(tmp_path, FILES_PARAGRAPHS))
    assert [
        (said.holders, said.licence)
        for said in map(
            licence_of, ("src/main.c", "debian/rules", "debian/patches/fancy-feature", "doc/tool.1", "debian/tool.1")
        )
    ] == [
        ("1975-2010 Ulla Upstream", "GPL-2.0-or-later"),
        ("2010 Daniela Debianizer", "GPL-2.0-or-later"),
        ("2010 Daniela Debianizer", "GPL-3.0-or-later"),
        ("2010 Manuela Manpager", "GPL-2.0-or-later"),
        ("2010 Manuela Manpager", "GPL-2.0-or-later"),
    ]


def test_one_of_several_licences_is_enough(tmp_path):
    said = debian_licences(written(tmp_path, TRI_LICENSED))("src/js/editline/edit.js")
    assert said.licence == "MPL-1.1 OR GPL-2.0-only OR LGPL-2.1-only"
    assert said.holders == "1993, John Doe 1993, Joe Average"
    assert is_allowed(said.licence) and not is_allowed("MPL-1.1")


def test_a_file_without_a_paragraph_has_no_licence(tmp_path):
    said = debian_licences(written(tmp_path, TRI_LICENSED))("src/main.js")
    assert said.licence == NOT_STATED and not is_allowed(said.licence)


def test_free_text_is_not_machine_readable(tmp_path):
    path = written(tmp_path, "This package was debianized by Somebody.\n\nIt is under the GPL.\n")
    with pytest.raises(ValueError, match="not a machine-readable copyright file"):
        debian_licences(path)


def test_a_phrase_is_found_across_lines_and_must_be_there(tmp_path):
    path = written(tmp_path, "either version 2 of\n   the License, or (at your option)")
    check_phrase(path, "version 2 of the License")
    with pytest.raises(ValueError, match="without 'version 3"):
        check_phrase(path, "version 3 of the License")


@pytest.mark.parametrize(
    ("name", "expression"),
    [
        ("GPL-2+", "GPL-2.0-or-later"),
        ("GPL-3.0+", "GPL-3.0-or-later"),
        ("LGPL-2.1", "LGPL-2.1-only"),
        ("Expat", "MIT"),
        ("CC-BY-SA-3", "CC-BY-SA-3.0"),
        ("CC0", "CC0-1.0"),
        ("BSD-3-clause", "BSD-3-Clause"),
        ("GPL-2+ with OpenSSL exception", "GPL-2.0-or-later"),
        ("GPL-1+ or Artistic-2.0", "GPL-1.0-or-later OR Artistic-2.0"),
        ("public-domain", "LicenseRef-public-domain"),
    ],
)
def test_short_names_become_spdx(name, expression):
    assert spdx_of_debian(name) == expression
    assert is_allowed(expression)


@pytest.mark.parametrize(
    "name",
    [
        "CC-BY-NC-4.0",
        "CC-BY-ND-3.0",
        "CC-BY-NC-SA-2.0",
        "",
        "permissive",
        "GPL-2+, and MIT",
        "GPL-2 and OFL-1.1",
    ],
)
def test_what_is_not_free_or_not_known_is_not_allowed(name):
    assert not is_allowed(spdx_of_debian(name))


def test_no_allowed_licence_excludes_commerce_or_changes():
    assert not [name for name in ALLOWED if {"NC", "ND"} & set(name.split("-"))]
