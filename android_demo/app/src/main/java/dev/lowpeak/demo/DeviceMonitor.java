package dev.lowpeak.demo;

import android.app.ActivityManager;
import android.content.Context;
import android.content.Intent;
import android.content.IntentFilter;
import android.os.BatteryManager;
import android.os.PowerManager;
import dev.lowpeak.core.DeviceState;
import dev.lowpeak.core.ThermalPolicy;
import dev.lowpeak.core.Units;
import java.util.Locale;
import java.util.concurrent.TimeUnit;

/**
 * Memory, heat and battery of the phone, read whenever they are asked for: from Android 14 on an app is told nothing of
 * memory that runs low while it is in the foreground.
 */
final class DeviceMonitor {
    /** The system does not tell the thermal headroom more often. */
    private static final long DESCRIBE_NANOS = TimeUnit.SECONDS.toNanos(2);

    private final Context context;
    private final ActivityManager activities;
    private final PowerManager power;
    private String described = "";
    private long describedAt = System.nanoTime() - DESCRIBE_NANOS;

    DeviceMonitor(Context context) {
        this.context = context;
        activities = context.getSystemService(ActivityManager.class);
        power = context.getSystemService(PowerManager.class);
    }

    /** {@code needed}: anonymous bytes that the runner has yet to take; {@code paused}: whether the run waits. */
    DeviceState state(long needed, boolean paused) {
        ActivityManager.MemoryInfo memory = memory();
        Intent battery = battery();
        return DeviceState.builder()
                .thermalStatus(Api.has(29) ? Api29.thermalStatus(power) : ThermalPolicy.NONE)
                .memory(memory.availMem, memory.threshold, memory.lowMemory)
                .neededBytes(needed)
                .battery(isCharging(battery), percent(battery))
                .paused(paused)
                .build();
    }

    /** A few words for the user, of the last two seconds. */
    String describe() {
        if (System.nanoTime() - describedAt >= DESCRIBE_NANOS) {
            describedAt = System.nanoTime();
            described = describeNow();
        }
        return described;
    }

    private String describeNow() {
        ActivityManager.MemoryInfo memory = memory();
        Intent battery = battery();
        StringBuilder made = new StringBuilder();
        made.append(context.getString(R.string.device_memory, Units.megabytes(memory.availMem),
                Units.megabytes(memory.threshold)));
        if (Api.has(29)) {
            made.append(context.getString(R.string.device_heat, ThermalPolicy.name(Api29.thermalStatus(power))));
        }
        if (Api.has(30)) {
            float headroom = Api30.thermalHeadroom(power);
            if (!Float.isNaN(headroom)) {
                made.append(String.format(Locale.ROOT, " (%.2f)", headroom));
            }
        }
        made.append(context.getString(
                isCharging(battery) ? R.string.device_charging : R.string.device_battery, percent(battery)));
        return made.toString();
    }

    private ActivityManager.MemoryInfo memory() {
        ActivityManager.MemoryInfo memory = new ActivityManager.MemoryInfo();
        activities.getMemoryInfo(memory);
        return memory;
    }

    /** The last broadcast, which stays; no receiver is registered. */
    private Intent battery() {
        return context.registerReceiver(null, new IntentFilter(Intent.ACTION_BATTERY_CHANGED));
    }

    private static boolean isCharging(Intent battery) {
        return battery == null || battery.getIntExtra(BatteryManager.EXTRA_PLUGGED, 0) != 0;
    }

    private static int percent(Intent battery) {
        int scale = battery == null ? 0 : battery.getIntExtra(BatteryManager.EXTRA_SCALE, 0);
        return scale <= 0 ? 100 : battery.getIntExtra(BatteryManager.EXTRA_LEVEL, scale) * 100 / scale;
    }
}
