package dev.lowpeak.core;

/**
 * Points of a run of any length in bounded memory: when there are too many, two neighbours become one.
 *
 * <p>Steps ascend. One that is not after the last says that the run went back to its checkpoint: what was there from
 * that step on is dropped.
 */
public final class Series {
    /** What becomes of two points. */
    public enum Merge {
        MEAN,
        MAX
    }

    private final Merge merge;
    private final long[] steps;
    private final double[] values;
    private final int[] counts;
    private int size;
    private int perPoint = 1;
    private double last = Double.NaN;

    /** {@code capacity}: points kept at most, 2 or more. */
    public Series(int capacity, Merge merge) {
        this.merge = merge;
        int most = (int) Require.atLeast("capacity", (long) capacity, 2);
        steps = new long[most];
        values = new double[most];
        counts = new int[most];
    }

    /** A value that is NaN leaves no point. */
    public void add(long step, double value) {
        while (size > 0 && steps[size - 1] >= step) {
            size--;
        }
        if (Double.isNaN(value)) {
            return;
        }
        last = value;
        if (size > 0 && counts[size - 1] < perPoint) {
            join(size - 1, value, 1);
            return;
        }
        if (size == steps.length) {
            halve();
            add(step, value);
            return;
        }
        steps[size] = step;
        values[size] = value;
        counts[size] = 1;
        size++;
    }

    public int size() {
        return size;
    }

    /** The first step of the point. */
    public long step(int index) {
        return steps[index];
    }

    public double value(int index) {
        return values[index];
    }

    /** As it was added; NaN without one. */
    public double last() {
        return size == 0 ? Double.NaN : last;
    }

    /** Steps that a full point stands for. */
    public int perPoint() {
        return perPoint;
    }

    /** The smallest of the points; infinite without one. */
    public double min() {
        double found = Double.POSITIVE_INFINITY;
        for (int i = 0; i < size; i++) {
            found = Math.min(found, values[i]);
        }
        return found;
    }

    /** The largest of the points; negatively infinite without one. */
    public double max() {
        double found = Double.NEGATIVE_INFINITY;
        for (int i = 0; i < size; i++) {
            found = Math.max(found, values[i]);
        }
        return found;
    }

    private void halve() {
        int made = 0;
        for (int i = 0; i < size; i += 2) {
            steps[made] = steps[i];
            values[made] = values[i];
            counts[made] = counts[i];
            if (i + 1 < size) {
                join(made, values[i + 1], counts[i + 1]);
            }
            made++;
        }
        size = made;
        perPoint *= 2;
    }

    private void join(int index, double value, int count) {
        int all = counts[index] + count;
        values[index] = merge == Merge.MAX ? Math.max(values[index], value)
                : (values[index] * counts[index] + value * count) / all;
        counts[index] = all;
    }
}
