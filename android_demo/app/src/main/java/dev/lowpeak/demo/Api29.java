package dev.lowpeak.demo;

import android.os.PowerManager;
import java.util.function.IntConsumer;

/** What Android 10 brought. Only called where {@code Api.has(29)}. */
final class Api29 {
    private Api29() {}

    static int thermalStatus(PowerManager power) {
        return power.getCurrentThermalStatus();
    }

    /** Calls the listener on the main thread whenever the status changes; returns what ends that. */
    static Runnable onThermalStatus(PowerManager power, IntConsumer listener) {
        PowerManager.OnThermalStatusChangedListener each = listener::accept;
        power.addThermalStatusListener(each);
        return () -> power.removeThermalStatusListener(each);
    }
}
