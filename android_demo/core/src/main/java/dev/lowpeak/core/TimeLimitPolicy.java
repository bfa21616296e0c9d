package dev.lowpeak.core;

import java.util.concurrent.TimeUnit;

/** Stops before a foreground service's time is over: there must be some left for the checkpoint. */
public final class TimeLimitPolicy implements Policy {
    /** Of dataSync and mediaProcessing services from Android 15 on, in 24 hours. */
    public static final long SIX_HOURS = TimeUnit.HOURS.toMillis(6);

    private static final long FOR_THE_CHECKPOINT = TimeUnit.MINUTES.toMillis(2);

    private final Long limitMillis;

    private TimeLimitPolicy(Long limitMillis) {
        this.limitMillis = limitMillis;
    }

    /** Of a service of the type specialUse. */
    public static TimeLimitPolicy none() {
        return new TimeLimitPolicy(null);
    }

    public static TimeLimitPolicy of(long millis) {
        return new TimeLimitPolicy(millis);
    }

    @Override
    public Decision decide(DeviceState state) {
        if (limitMillis == null || state.elapsedMillis < limitMillis - FOR_THE_CHECKPOINT) {
            return Decision.RUN;
        }
        return Decision.stop(Texts.timeLimit(TimeUnit.MILLISECONDS.toMinutes(limitMillis)));
    }
}
