package dev.lowpeak.core;

/**
 * Pauses at SEVERE, or shortly before as the headroom predicts it, until the phone is at LIGHT again; stops at
 * CRITICAL: PowerManager.THERMAL_STATUS_*.
 */
public final class ThermalPolicy implements Policy {
    public static final int NONE = 0;
    public static final int LIGHT = 1;
    public static final int SEVERE = 3;
    public static final int CRITICAL = 4;

    private static final float SEVERE_HEADROOM = 1;
    private static final float COOL_HEADROOM = 0.85f;

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
        // Of NaN neither is true.
        if (state.thermalHeadroom >= SEVERE_HEADROOM) {
            return Decision.pause(Texts.soonTooHot());
        }
        boolean warm = status > LIGHT || state.thermalHeadroom > COOL_HEADROOM;
        return state.paused && warm ? Decision.pause(Texts.cooling(name(status))) : Decision.RUN;
    }

    /** "severe". */
    public static String name(int status) {
        return status >= 0 && status < NAMES.length ? NAMES[status] : "status " + status;
    }
}
