package dev.lowpeak.core;

/** A run at a glance: its figures, the loss, the memory. */
public final class TrainingPanel {
    private TrainingPanel() {}

    /** Pixels in which everything has its place on a phone of 320 dp and more, however large the text is. */
    public static float preferredHeight(Display display) {
        return display.dp(372) + display.sp(218);
    }

    /** Fills the surface of that size in pixels. */
    public static void draw(
            Surface surface, ChartModel model, Theme theme, float width, float height, Display display) {
        surface.rect(0, 0, width, height, theme.background);
        float top = Figures.draw(surface, Texts.figures(model), theme, width, display);
        float half = (height - top) / 2;
        LossChart.draw(new Moved(surface, 0, top), model, theme, width, half, display);
        MemoryChart.draw(new Moved(surface, 0, top + half), model, theme, width, half, display);
    }
}
