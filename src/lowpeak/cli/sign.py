"""`lowpeak sign`: an artifact's manifest signed with a minisign key."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowpeak.cli.checks import require_artifact
from lowpeak.cli.output import Debug, Json, note, print_result, table, working
from lowpeak.cli.simulate import ArtifactArgument
from lowpeak.cli.trust import Expect


def sign_command(
    artifact: ArtifactArgument,
    key: Annotated[Path, typer.Option(help="Secret key that `minisign -G` made.")],
    expect: Expect = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Sign an artifact, after a check of all its files; --signed-by then refuses any other."""
    require_artifact(artifact)
    from lowpeak_artifact.artifact import Artifact
    from lowpeak_artifact.signature import needs_password, sign

    password = None
    if needs_password(key):
        password = typer.prompt("password of the key", hide_input=True, err=True)
    with working("signing") as say:
        say("checking the artifact")
        opened = Artifact.open(artifact, expect=expect)
        signature = sign(opened, key, password)
    figures = {"artifact": str(artifact), "manifest_sha256": opened.sha256, "signature": str(signature)}
    print_result(figures, json, table("signed", {"manifest": opened.sha256, "signature": str(signature)}))
    note("send the public key by another way than the artifact; --signed-by takes it")
