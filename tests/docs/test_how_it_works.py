"""The document shows what the compiler does today."""

from docs.toy import DOCUMENT, stages, updated


def test_the_document_shows_every_stage_as_it_is_today() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    found = stages()
    assert [name for name in found if f"<!-- stage: {name} -->" not in document] == []
    assert updated(document, found) == document, "run python -m docs.toy --update"
