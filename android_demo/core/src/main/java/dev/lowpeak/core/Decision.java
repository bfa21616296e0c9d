package dev.lowpeak.core;

/** What a policy wants, and why. */
public final class Decision {
    /** By strictness. */
    public enum Action {
        RUN,
        /** A checkpoint, no process, and on when the reason has gone. */
        PAUSE,
        /** A checkpoint, and on only when the user says so. */
        STOP
    }

    static final Decision RUN = new Decision(Action.RUN, "");

    private final Action action;
    private final String reason;

    private Decision(Action action, String reason) {
        this.action = action;
        this.reason = reason;
    }

    static Decision pause(String reason) {
        return new Decision(Action.PAUSE, reason);
    }

    static Decision stop(String reason) {
        return new Decision(Action.STOP, reason);
    }

    public Action action() {
        return action;
    }

    /** A clause for the user, as {@link RunMachine#pauseAsked} takes it; empty for RUN. */
    public String reason() {
        return reason;
    }
}
