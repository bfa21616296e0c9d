"""Training on a phone, over adb: what is pushed, how it runs there, what comes home."""
