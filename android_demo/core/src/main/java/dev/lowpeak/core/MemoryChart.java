package dev.lowpeak.core;

/** What the process holds and held at most, against the plan's line and the budget's. */
public final class MemoryChart {
    private MemoryChart() {}

    /** Fills the surface of that size in pixels. */
    public static void draw(
            Surface surface, ChartModel model, Theme theme, float width, float height, Display display) {
        Stroke resident = Stroke.solid(theme.resident, display.dp(1.5f));
        Stroke peak = Stroke.solid(theme.peak, display.dp(2.5f));
        Stroke planned = Stroke.dashed(theme.planned, display.dp(1.5f), display.dp(6));
        Stroke budget = Stroke.dashed(theme.budget, display.dp(2), display.dp(3));
        Plot.Entry[] legend = {
            new Plot.Entry(Texts.value(Texts.RESIDENT, model.resident().last()), resident),
            new Plot.Entry(Texts.value(Texts.PEAK, model.peak().last()), peak),
            new Plot.Entry(Texts.value(Texts.PLANNED, model.plannedPeak()), planned),
            new Plot.Entry(Texts.value(Texts.BUDGET, model.budget()), budget),
        };
        double most = largest(model.resident().max(), model.peak().max(), model.plannedPeak(), model.budget());
        Plot plot = new Plot(surface, theme, display, width, height, Texts.MEMORY, legend,
                LossChart.lastStep(model), 0, most / Units.MEGABYTE);
        if (!Double.isNaN(model.plannedPeak())) {
            plot.level(model.plannedPeak() / Units.MEGABYTE, planned);
        }
        if (!Double.isNaN(model.budget())) {
            plot.level(model.budget() / Units.MEGABYTE, budget);
        }
        plot.series(model.resident(), Units.MEGABYTE, resident);
        plot.series(model.peak(), Units.MEGABYTE, peak);
    }

    private static double largest(double... bytes) {
        double found = Units.MEGABYTE;
        for (double each : bytes) {
            found = each > found ? each : found;
        }
        return found;
    }
}
