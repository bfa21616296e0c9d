package dev.lowpeak.demo;

import android.content.Context;
import android.os.PowerManager;
import java.util.concurrent.TimeUnit;

/** Keeps the processor awake while a runner works; without being held again it ends by itself. */
final class TrainingWakeLock {
    private static final long TIMEOUT = TimeUnit.MINUTES.toMillis(10);

    private final PowerManager.WakeLock lock;

    TrainingWakeLock(Context context) {
        lock = context.getSystemService(PowerManager.class)
                .newWakeLock(PowerManager.PARTIAL_WAKE_LOCK, "lowpeak:training");
        lock.setReferenceCounted(false);
    }

    /** For ten minutes from now. */
    void hold() {
        lock.acquire(TIMEOUT);
    }

    void release() {
        if (lock.isHeld()) {
            lock.release();
        }
    }
}
