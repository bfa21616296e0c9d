package dev.lowpeak.demo;

import android.app.ActivityManager;
import android.app.ApplicationExitInfo;
import android.os.PowerManager;
import dev.lowpeak.core.ExitReason;
import dev.lowpeak.core.ExitReasons;
import java.util.List;

/** What Android 11 brought. Only called where {@code Api.has(30)}. */
final class Api30 {
    private static final int FORECAST_SECONDS = 10;

    private Api30() {}

    /** Why the app's process ended last; null where the system does not know. */
    static ExitReason lastExit(ActivityManager activities, String packageName) {
        List<ApplicationExitInfo> exits = activities.getHistoricalProcessExitReasons(packageName, 0, 1);
        if (exits.isEmpty()) {
            return null;
        }
        ApplicationExitInfo exit = exits.get(0);
        return ExitReasons.ofAndroid(
                exit.getReason(), exit.getStatus(), ActivityManager.isLowMemoryKillReportSupported());
    }

    /** 1 is where the phone throttles severely; NaN where it is not known. */
    static float thermalHeadroom(PowerManager power) {
        return power.getThermalHeadroom(FORECAST_SECONDS);
    }
}
