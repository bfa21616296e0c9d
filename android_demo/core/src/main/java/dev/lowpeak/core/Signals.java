package dev.lowpeak.core;

/** Linux's numbers of signals, and how an exit code of Java's Process says that one ended the process. */
public final class Signals {
    public static final int HUP = 1;
    public static final int INT = 2;
    public static final int ILL = 4;
    public static final int ABRT = 6;
    public static final int BUS = 7;
    public static final int FPE = 8;
    public static final int KILL = 9;
    public static final int SEGV = 11;
    public static final int TERM = 15;
    public static final int XFSZ = 25;
    public static final int SYS = 31;

    private static final int OF_SIGNAL = 128;
    private static final int MOST = 64;

    private Signals() {}

    /** The signal that ended a process of this exit code, or null. lowpeak-runner itself ends with 0 to 3. */
    public static Integer ofExitCode(int code) {
        return code > OF_SIGNAL && code <= OF_SIGNAL + MOST ? (Integer) (code - OF_SIGNAL) : null;
    }

    /** "SIGKILL"; "signal 42" for those that nobody expects. */
    public static String name(int signal) {
        switch (signal) {
            case HUP: return "SIGHUP";
            case INT: return "SIGINT";
            case ILL: return "SIGILL";
            case ABRT: return "SIGABRT";
            case BUS: return "SIGBUS";
            case FPE: return "SIGFPE";
            case KILL: return "SIGKILL";
            case SEGV: return "SIGSEGV";
            case TERM: return "SIGTERM";
            case XFSZ: return "SIGXFSZ";
            case SYS: return "SIGSYS";
            default: return "signal " + signal;
        }
    }
}
