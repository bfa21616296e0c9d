package dev.lowpeak.core;

/** Why a process ended, in words for the user. */
public final class ExitReason {
    private final String text;
    private final boolean maybeLowMemory;

    ExitReason(String text, boolean maybeLowMemory) {
        this.text = text;
        this.maybeLowMemory = maybeLowMemory;
    }

    /** A clause without a point: "the system needed memory". */
    public String text() {
        return text;
    }

    /** Whether the system may have ended it to get memory. */
    public boolean maybeLowMemory() {
        return maybeLowMemory;
    }

    @Override
    public String toString() {
        return text;
    }
}
