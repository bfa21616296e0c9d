"""The process that renders chat templates for sandbox.py: a template comes from anywhere, and is a program.

    python -m lowpeak_runtime.data.chat.renderer
    8 bytes of length and a JSON object -> the same, again and again, until stdin ends

Jinja's sandbox keeps a template off files and code, not from running for ever or filling the memory: the
kernel ends this process where one does, or memory_watch.py. It imports no torch.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import struct
import sys
from typing import Any

from lowpeak_artifact.linux import limit_address_space

MEMORY_BYTES = 1 << 29
"""Address space beyond what the imports take; where the system does not limit that, resident memory."""
PROCESSOR_SECONDS = 3.0
"""Of one rendering."""
LONGEST_MESSAGE = 2000
"""Characters of an error."""
LENGTH = struct.Struct("<Q")


def main() -> None:
    # A signal to the group is for the process that started this one; it closes stdin when it ends.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    from transformers.utils.chat_template_utils import render_jinja_template

    source, target = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _answer(target, {"limited": limit_address_space(MEMORY_BYTES)})
    while head := source.read(LENGTH.size):
        asked = json.loads(source.read(LENGTH.unpack(head)[0]))
        # The default action ends the process, wherever in C it is.
        signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
        answer: dict[str, Any]
        try:
            rendered: Any = render_jinja_template(
                [asked["messages"]],
                tools=asked["tools"],
                chat_template=asked["template"],
                return_assistant_tokens_mask=asked["marks"],
                add_generation_prompt=asked["prompt"],
                **asked["variables"],
            )
            texts, generated = rendered
            answer = {"text": texts[0], "generated": generated[0] if generated else []}
        except MemoryError:
            answer = {"stopped": "memory"}
        except Exception as error:
            answer = {"refused": str(error)[:LONGEST_MESSAGE] or type(error).__name__}
        signal.setitimer(signal.ITIMER_PROF, 0)
        _answer(target, answer)


def _answer(target: Any, answer: dict[str, Any]) -> None:
    data = json.dumps(answer).encode()
    target.write(LENGTH.pack(len(data)) + data)
    target.flush()


if __name__ == "__main__":
    main()
