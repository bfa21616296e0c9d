"""Runs verbs of the command line one after the other, and a chat template, as the test asks."""

from __future__ import annotations

import json
import sys

from lowpeak.cli import main
from lowpeak_artifact.errors import LowpeakError
from lowpeak_runtime.data.chat.template import Template
from lowpeak_runtime.data.record import Chat


def rendered(source: str) -> str:
    chat = Chat(({"role": "user", "content": "Hi"},), (False,), None, {})
    try:
        return Template(source, {}, []).render(chat, chat.messages)[0]
    except LowpeakError as error:
        return str(error)


if __name__ == "__main__":
    for arguments in json.loads(sys.argv[1]):
        if arguments[0] == "render":
            print(json.dumps(rendered(arguments[1])), flush=True)
        else:
            code = main(arguments)
            print(json.dumps(code), flush=True)
