package dev.lowpeak.core;

/** What the policies look at: the phone as it is now. Bytes, percent, milliseconds. */
public final class DeviceState {
    final int thermalStatus;
    final float thermalHeadroom;
    final long availableBytes;
    final long thresholdBytes;
    final boolean lowMemory;
    final long neededBytes;
    final boolean charging;
    final int batteryPercent;
    final long elapsedMillis;
    final boolean paused;

    private DeviceState(Builder from) {
        thermalStatus = from.thermalStatus;
        thermalHeadroom = from.thermalHeadroom;
        availableBytes = from.availableBytes;
        thresholdBytes = from.thresholdBytes;
        lowMemory = from.lowMemory;
        neededBytes = from.neededBytes;
        charging = from.charging;
        batteryPercent = from.batteryPercent;
        elapsedMillis = from.elapsedMillis;
        paused = from.paused;
    }

    public static Builder builder() {
        return new Builder();
    }

    /** What is not set is a phone at rest with memory and a full battery. */
    public static final class Builder {
        private int thermalStatus = ThermalPolicy.NONE;
        private float thermalHeadroom = Float.NaN;
        private long availableBytes = Long.MAX_VALUE / 2;
        private long thresholdBytes;
        private boolean lowMemory;
        private long neededBytes;
        private boolean charging = true;
        private int batteryPercent = 100;
        private long elapsedMillis;
        private boolean paused;

        /** PowerManager.getCurrentThermalStatus(), 0 to 6. */
        public Builder thermalStatus(int value) {
            thermalStatus = value;
            return this;
        }

        /** PowerManager.getThermalHeadroom(10): 1 is where SEVERE begins; NaN where the phone does not tell. */
        public Builder thermalHeadroom(float value) {
            thermalHeadroom = value;
            return this;
        }

        /** ActivityManager.MemoryInfo: availMem, threshold and lowMemory. */
        public Builder memory(long available, long threshold, boolean low) {
            availableBytes = available;
            thresholdBytes = threshold;
            lowMemory = low;
            return this;
        }

        /** Anonymous memory that the runner has yet to take: all of the plan before it runs, 0 while it does. */
        public Builder neededBytes(long value) {
            neededBytes = value;
            return this;
        }

        public Builder battery(boolean isCharging, int percent) {
            charging = isCharging;
            batteryPercent = percent;
            return this;
        }

        /** How long a service with a time limit has run in these 24 hours. */
        public Builder elapsedMillis(long value) {
            elapsedMillis = value;
            return this;
        }

        /** Whether the run is paused now: then it takes more to go on than it took to stay. */
        public Builder paused(boolean value) {
            paused = value;
            return this;
        }

        public DeviceState build() {
            return new DeviceState(this);
        }
    }
}
