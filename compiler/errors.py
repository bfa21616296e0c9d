"""Errors that a user can meet: each says what is wrong, with numbers, and what to do next."""

from __future__ import annotations


class LowpeakError(Exception):
    """Base of every error a user can cause or meet.

    `numbers` holds the quantities of the message (bytes, tokens, line numbers) for machine-readable output.
    `user_mistake` says whether changing the input mends it (exit code 2) or not (exit code 1).
    """

    user_mistake = True

    def __init__(self, message: str, **numbers: int | float | str) -> None:
        super().__init__(message)
        self.numbers = numbers


class ModelError(LowpeakError):
    """The model cannot be read or compiled: wrong class, nothing trainable, NaN weights, unknown name."""


class UnsupportedOperator(LowpeakError):
    """An operator of the model has no rule or no kernel on the target."""


class DataError(LowpeakError):
    """The training data cannot be read or does not fit the artifact."""


class BudgetTooSmall(LowpeakError):
    """No plan fits the budget; `numbers` has `minimum_bytes`, the smallest budget that has one."""


class ArtifactError(LowpeakError):
    """An artifact cannot be written, or is damaged, truncated, tampered with or of another version."""


class EnvironmentProblem(LowpeakError):
    """Something outside the input is missing: a package, the network, disk space."""

    user_mistake = False
