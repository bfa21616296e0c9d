"""Options by which a verb is told what artifact it may open: its hash, or who signed it."""

from __future__ import annotations

from typing import Annotated

import typer

Expect = Annotated[
    str | None,
    typer.Option(
        metavar="SHA256",
        help="Refuse any other artifact: the hash of its manifest, which compile prints.",
        show_default=False,
    ),
]
SignedBy = Annotated[
    str | None,
    typer.Option(
        metavar="KEY",
        envvar="LOWPEAK_SIGNED_BY",
        help="Refuse an artifact that this minisign key did not sign: its public file, or the line in it.",
        show_default=False,
    ),
]
