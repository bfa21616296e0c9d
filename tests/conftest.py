"""What every test runs under: few threads, no network, no deadlines. Child processes inherit it."""

from __future__ import annotations

import os
import signal

# Before torch and transformers are imported: they read these once.
os.environ.update(
    OMP_NUM_THREADS="1",
    HF_HUB_OFFLINE="1",
    HF_HUB_DISABLE_PROGRESS_BARS="1",
    HF_HUB_DISABLE_TELEMETRY="1",
    TOKENIZERS_PARALLELISM="false",
    TRANSFORMERS_VERBOSITY="error",
    NO_COLOR="1",
)

import torch
from hypothesis import settings

# The test models are so small that threads cost more than they give.
torch.set_num_threads(1)

# Under nohup, or after an ampersand in a script, these are ignored, and children inherit that: the tests
# that send them would wait for ever.
signal.signal(signal.SIGHUP, signal.SIG_DFL)
signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a property imports and traces for seconds.
settings.register_profile("lowpeak", deadline=None)
settings.load_profile("lowpeak")
