package dev.lowpeak.core;

/** Where a training run is. */
public enum RunState {
    /** Nothing was started yet. */
    IDLE,
    /** The runner was started and has not ended its first step. */
    LOADING,
    TRAINING,
    /** Ended with a checkpoint to go on soon: by the user, or by a policy. */
    PAUSED,
    /** Ended with a checkpoint before it had its steps. */
    STOPPED,
    /** Ended by an error or killed. */
    FAILED,
    /** Has all its steps. */
    DONE;

    /** Whether a runner's process belongs to it. */
    public boolean isActive() {
        return this == LOADING || this == TRAINING;
    }

    /** Whether it may be started, or continued from its checkpoint. */
    public boolean canStart() {
        return !isActive();
    }
}
