package dev.lowpeak.core;

/** Pauses at SEVERE until the phone is at LIGHT again, stops at CRITICAL: PowerManager.THERMAL_STATUS_*. */
public final class ThermalPolicy implements Policy {
    public static final int NONE = 0;
    public static final int LIGHT = 1;
    public static final int SEVERE = 3;
    public static final int CRITICAL = 4;

    private static final String[] NAMES = {"none", "light", "moderate", "severe", "critical", "emergency", "shutdown"};

    @Override
    public Decision decide(DeviceState state) {
        int status = state.thermalStatus;
        if (status >= CRITICAL) {
            return Decision.stop(Texts.thermal(name(status)));
        }
        if (status >= SEVERE) {
            return Decision.pause(Texts.thermal(name(status)));
        }
        return state.paused && status > LIGHT ? Decision.pause(Texts.cooling(name(status))) : Decision.RUN;
    }

    /** "severe". */
    public static String name(int status) {
        return status >= 0 && status < NAMES.length ? NAMES[status] : "status " + status;
    }
}
