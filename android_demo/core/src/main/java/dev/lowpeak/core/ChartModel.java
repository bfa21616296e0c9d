package dev.lowpeak.core;

/** A run's numbers as the screen shows them. One thread at a time. */
public final class ChartModel {
    private static final int POINTS = 600;
    private static final double LOSS_DECAY = 0.9;
    private static final double SPEED_DECAY = 0.8;

    private final Series loss = new Series(POINTS, Series.Merge.MEAN);
    private final Series smoothLoss = new Series(POINTS, Series.Merge.MEAN);
    private final Series resident = new Series(POINTS, Series.Merge.MAX);
    private final Series peak = new Series(POINTS, Series.Merge.MAX);
    private final Ema lossMean = new Ema(LOSS_DECAY);
    private final Ema secondsMean = new Ema(SPEED_DECAY);
    private final Ema tokensMean = new Ema(SPEED_DECAY);
    private final long totalSteps;
    private long step;
    private double plannedPeak = Double.NaN;
    private double budget = Double.NaN;

    /** {@code totalSteps}: that the run ends with; 0: not known, as of a metrics file. */
    public ChartModel(long totalSteps) {
        this.totalSteps = Require.atLeast("totalSteps", totalSteps, 0);
    }

    /** Draws the plan before the first step has ended. */
    public void plan(BundleInfo artifact) {
        plannedPeak = artifact.plannedPeakBytes();
        budget = artifact.budgetBytes();
    }

    public void add(StepMetrics metrics) {
        step = metrics.step() + 1;
        loss.add(metrics.step(), metrics.loss());
        smoothLoss.add(metrics.step(), lossMean.add(metrics.loss()));
        resident.add(metrics.step(), metrics.residentBytes());
        peak.add(metrics.step(), metrics.peakBytes());
        secondsMean.add(metrics.seconds());
        tokensMean.add(metrics.tokensPerSecond());
        plannedPeak = Double.isNaN(metrics.plannedPeakBytes()) ? plannedPeak : metrics.plannedPeakBytes();
        budget = Double.isNaN(metrics.budgetBytes()) ? budget : metrics.budgetBytes();
    }

    public Series loss() {
        return loss;
    }

    public Series smoothLoss() {
        return smoothLoss;
    }

    /** Bytes as each step ended. */
    public Series resident() {
        return resident;
    }

    /** Most bytes of the process until each step. */
    public Series peak() {
        return peak;
    }

    /** Bytes; NaN where it is not known. */
    public double plannedPeak() {
        return plannedPeak;
    }

    /** Bytes; NaN where it is not known. */
    public double budget() {
        return budget;
    }

    /** Updates made. */
    public long step() {
        return step;
    }

    /** 0: not known. */
    public long totalSteps() {
        return totalSteps;
    }

    /** NaN before the first step. */
    public double tokensPerSecond() {
        return tokensMean.value();
    }

    /** NaN where it is not known. */
    public double secondsLeft() {
        return totalSteps == 0 ? Double.NaN : secondsMean.value() * Math.max(0, totalSteps - step);
    }

    /** Both charts in words, for a screen reader. */
    public String describe() {
        return Texts.describe(this);
    }
}
