package dev.lowpeak.core;

/** Exit codes, signals and the reasons of Android's ApplicationExitInfo, each as an {@link ExitReason}. */
public final class ExitReasons {
    // ApplicationExitInfo.REASON_*; the class itself is there from API 30.
    public static final int EXIT_SELF = 1;
    public static final int SIGNALED = 2;
    public static final int LOW_MEMORY = 3;
    public static final int CRASH = 4;
    public static final int CRASH_NATIVE = 5;
    public static final int ANR = 6;
    public static final int INITIALIZATION_FAILURE = 7;
    public static final int PERMISSION_CHANGE = 8;
    public static final int EXCESSIVE_RESOURCE_USAGE = 9;
    public static final int USER_REQUESTED = 10;
    public static final int USER_STOPPED = 11;
    public static final int DEPENDENCY_DIED = 12;
    public static final int FREEZER = 14;
    public static final int PACKAGE_STATE_CHANGE = 15;
    public static final int PACKAGE_UPDATED = 16;

    private static final int USAGE = 2;

    private ExitReasons() {}

    /** Of the runner's own process. {@code signal} is null when none ended it. */
    public static ExitReason ofExit(int code, Integer signal) {
        if (signal != null) {
            return ofSignal(signal);
        }
        if (code == USAGE) {
            return new ExitReason(Texts.EXIT_USAGE, false);
        }
        return new ExitReason(Texts.exitCode(code), false);
    }

    /** Of a process that the signal ended. Android's low memory killer and the Memory Limiter send SIGKILL. */
    public static ExitReason ofSignal(int signal) {
        switch (signal) {
            case Signals.KILL:
                return new ExitReason(Texts.EXIT_KILLED, true);
            case Signals.ABRT:
            case Signals.SEGV:
            case Signals.ILL:
            case Signals.FPE:
            case Signals.SYS:
                return new ExitReason(Texts.exitCrashed(Signals.name(signal)), false);
            case Signals.BUS:
                return new ExitReason(Texts.EXIT_BUS, false);
            default:
                return new ExitReason(Texts.exitSignal(Signals.name(signal)), false);
        }
    }

    /**
     * Of the app's process as ApplicationExitInfo has it: {@code getReason()}, {@code getStatus()} and
     * {@code ActivityManager.isLowMemoryKillReportSupported()}. Where that is false, SIGKILL may be low memory.
     */
    public static ExitReason ofAndroid(int reason, int status, boolean reportsLowMemory) {
        switch (reason) {
            case EXIT_SELF:
                return new ExitReason(Texts.appExit(status), false);
            case SIGNALED:
                if (status == Signals.KILL) {
                    return reportsLowMemory
                            ? new ExitReason(Texts.APP_KILLED, false)
                            : new ExitReason(Texts.EXIT_KILLED, true);
                }
                return new ExitReason(Texts.exitSignal(Signals.name(status)), false);
            case LOW_MEMORY:
                return new ExitReason(Texts.EXIT_LOW_MEMORY, true);
            case CRASH:
            case CRASH_NATIVE:
                return new ExitReason(Texts.APP_CRASHED, false);
            case ANR:
                return new ExitReason(Texts.APP_ANR, false);
            case INITIALIZATION_FAILURE:
                return new ExitReason(Texts.APP_INITIALIZATION, false);
            case PERMISSION_CHANGE:
                return new ExitReason(Texts.APP_PERMISSION, false);
            case EXCESSIVE_RESOURCE_USAGE:
                return new ExitReason(Texts.APP_EXCESSIVE, false);
            case USER_REQUESTED:
            case USER_STOPPED:
                return new ExitReason(Texts.APP_USER, false);
            case DEPENDENCY_DIED:
                return new ExitReason(Texts.APP_DEPENDENCY, false);
            case FREEZER:
                return new ExitReason(Texts.APP_FREEZER, false);
            case PACKAGE_STATE_CHANGE:
            case PACKAGE_UPDATED:
                return new ExitReason(Texts.APP_PACKAGE, false);
            default:
                return new ExitReason(Texts.EXIT_UNKNOWN, false);
        }
    }
}
