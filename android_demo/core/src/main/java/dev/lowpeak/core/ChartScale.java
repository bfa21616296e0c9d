package dev.lowpeak.core;

import java.util.Locale;

/** An axis: a range with ticks that are 1, 2 or 5 times a power of ten apart. */
public final class ChartScale {
    private final double low;
    private final double high;
    private final double tick;

    private ChartScale(double low, double high, double tick) {
        this.low = low;
        this.high = high;
        this.tick = tick;
    }

    /**
     * That holds both values between its first and last tick, with at most {@code intervals} intervals between ticks. Throws
     * IllegalArgumentException for values that are not finite or not in order.
     */
    public static ChartScale of(double least, double most, int intervals) {
        return of(least, most, intervals, 0);
    }

    /** From 0 to exactly {@code most}, with whole numbers at the ticks: for steps. */
    public static ChartScale ofSteps(long most, int intervals) {
        ChartScale rounded = of(0, Require.atLeast("most", most, 1), intervals, 1);
        return new ChartScale(0, most, rounded.tick);
    }

    private static ChartScale of(double least, double most, int intervals, double leastTick) {
        if (!(least <= most) || Double.isInfinite(least) || Double.isInfinite(most)) {
            throw new IllegalArgumentException("no axis from " + least + " to " + most);
        }
        Require.atLeast("intervals", (long) intervals, 1);
        double largest = Math.max(Math.abs(least), Math.abs(most));
        // Of values that are all but equal the axis shows a tenth.
        boolean flat = most - least <= largest * 1e-9;
        double range = flat ? Math.max(largest * 0.1, leastTick > 0 ? leastTick : 1e-3) : most - least;
        double tick = Math.max(nice(range / intervals), leastTick);
        while (true) {
            double low = Math.floor(least / tick + 1e-9) * tick;
            double high = Math.ceil(most / tick - 1e-9) * tick;
            high = high > low ? high : low + tick;
            if (Math.round((high - low) / tick) <= intervals || intervals == 1) {
                return new ChartScale(low, high, tick);
            }
            tick = nice(tick * 1.5);
        }
    }

    /** The smallest of 1, 2, 5, 10, 20, ... that is not smaller. */
    private static double nice(double value) {
        double power = Math.pow(10, Math.floor(Math.log10(value)));
        for (double factor : new double[] {1, 2, 5}) {
            if (factor * power >= value * (1 - 1e-9)) {
                return factor * power;
            }
        }
        return 10 * power;
    }

    public double low() {
        return low;
    }

    public double high() {
        return high;
    }

    /** From the low end on. */
    public double[] ticks() {
        double[] made = new double[(int) Math.floor((high - low) / tick + 1e-3) + 1];
        for (int i = 0; i < made.length; i++) {
            made[i] = low + i * tick;
        }
        return made;
    }

    /** 0 at the low end, 1 at the high one. */
    public double place(double value) {
        return (value - low) / (high - low);
    }

    /** With as many decimals as the ticks need to differ. */
    public String label(double value) {
        int decimals = (int) Math.max(0, -Math.floor(Math.log10(tick) + 1e-9));
        double shown = Math.abs(value) < tick * 1e-6 ? 0 : value;
        return String.format(Locale.ROOT, "%." + decimals + "f", shown);
    }
}
