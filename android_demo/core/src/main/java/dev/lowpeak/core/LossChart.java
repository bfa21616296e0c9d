package dev.lowpeak.core;

/** The loss of every step and its moving average. */
public final class LossChart {
    private LossChart() {}

    /** Fills the surface of that size in pixels. */
    public static void draw(
            Surface surface, ChartModel model, Theme theme, float width, float height, Display display) {
        Stroke raw = Stroke.solid(theme.rawLoss, display.dp(1.25f));
        Stroke smooth = Stroke.solid(theme.smoothLoss, display.dp(2.5f));
        Plot.Entry[] legend = {new Plot.Entry(Texts.EACH_STEP, raw), new Plot.Entry(Texts.AVERAGE, smooth)};
        boolean empty = model.loss().size() == 0;
        double least = empty ? 0 : Math.min(model.loss().min(), model.smoothLoss().min());
        double most = empty ? 1 : Math.max(model.loss().max(), model.smoothLoss().max());
        Plot plot = new Plot(
                surface, theme, display, width, height, Texts.LOSS, legend, lastStep(model), least, most);
        plot.series(model.loss(), 1, raw);
        plot.series(model.smoothLoss(), 1, smooth);
    }

    /** Where the axis ends: the run's goal, or where it is. */
    static long lastStep(ChartModel model) {
        return Math.max(1, Math.max(model.totalSteps(), model.step()));
    }
}
