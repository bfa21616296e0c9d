package dev.lowpeak.core;

/** Pauses without a charger if the user wants that; stops before the battery is empty. */
public final class ChargingPolicy implements Policy {
    /** As `lowpeak deploy` has it. */
    public static final int LEAST_PERCENT = 15;

    private final boolean onlyWhileCharging;

    public ChargingPolicy(boolean onlyWhileCharging) {
        this.onlyWhileCharging = onlyWhileCharging;
    }

    @Override
    public Decision decide(DeviceState state) {
        if (state.charging) {
            return Decision.RUN;
        }
        if (onlyWhileCharging) {
            return Decision.pause(Texts.notCharging());
        }
        return state.batteryPercent < LEAST_PERCENT
                ? Decision.stop(Texts.lowBattery(state.batteryPercent)) : Decision.RUN;
    }
}
