package dev.lowpeak.core;

/** What the process holds and held at most, against the plan's line and the budget's. */
public final class MemoryChart {
    private MemoryChart() {}

    /** Fills the surface of that size in pixels. */
    public static void draw(
            Surface surface, ChartModel model, Theme theme, float width, float height, Display display) {
        Stroke resident = Stroke.solid(theme.resident, display.dp(1.5f));
        Stroke peak = Stroke.solid(theme.peak, display.dp(2.5f));
        // The plan often is all but the budget: its dashes can be seen on the budget's line.
        Stroke budget = Stroke.solid(theme.budget, display.dp(3));
        Stroke planned = Stroke.dashed(theme.planned, display.dp(1.5f), display.dp(6));
        Plot.Entry[] legend = {
            new Plot.Entry(Texts.value(Texts.RESIDENT, model.resident().last()), resident),
            new Plot.Entry(Texts.value(Texts.PEAK, model.peak().last()), peak),
            new Plot.Entry(Texts.value(Texts.PLANNED, model.plannedPeak()), planned),
            new Plot.Entry(Texts.value(Texts.BUDGET, model.budget()), budget),
        };
        double largest = largest(model.resident().max(), model.peak().max(), model.plannedPeak(), model.budget());
        double least = least(model, largest);
        // The uppermost line has some room above it.
        double most = largest + 0.05 * (largest - least);
        Plot plot = new Plot(surface, theme, display, width, height, Texts.MEMORY, legend,
                LossChart.lastStep(model), least / Units.MEGABYTE, most / Units.MEGABYTE);
        if (!Double.isNaN(model.budget())) {
            plot.level(model.budget() / Units.MEGABYTE, budget);
        }
        if (!Double.isNaN(model.plannedPeak())) {
            plot.level(model.plannedPeak() / Units.MEGABYTE, planned);
        }
        plot.series(model.resident(), Units.MEGABYTE, resident);
        plot.series(model.peak(), Units.MEGABYTE, peak);
    }

    /** Lines that lie close together are looked at from near: from 0 only where some value is in the lower half. */
    private static double least(ChartModel model, double most) {
        double lowest = Math.min(Math.min(model.resident().min(), model.peak().min()), most);
        double near = most - 1.5 * (most - lowest);
        return lowest < most / 2 || lowest == most ? 0 : Math.max(0, near);
    }

    private static double largest(double... bytes) {
        double found = Units.MEGABYTE;
        for (double each : bytes) {
            found = each > found ? each : found;
        }
        return found;
    }
}
