"""Coverage-guided fuzzing of what reads files from anywhere, with atheris: see __main__.py."""
