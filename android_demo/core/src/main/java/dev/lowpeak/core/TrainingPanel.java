package dev.lowpeak.core;

/** A run at a glance: its figures, the loss, the memory. */
public final class TrainingPanel {
    private static final float FIGURE = 20;
    private static final float NAME = 12;

    private TrainingPanel() {}

    /** Pixels in which everything has its place on a phone of 320 dp and more, however large the text is. */
    public static float preferredHeight(Display display) {
        return display.dp(372) + display.sp(218);
    }

    /** Fills the surface of that size in pixels. */
    public static void draw(
            Surface surface, ChartModel model, Theme theme, float width, float height, Display display) {
        float top = Figures.draw(surface, model, theme, width, display);
        float half = (height - top) / 2;
        surface.rect(0, top, width, height, theme.background);
        LossChart.draw(new Moved(surface, 0, top), model, theme, width, half, display);
        MemoryChart.draw(new Moved(surface, 0, top + half), model, theme, width, half, display);
    }

    /** Step, loss, speed and time left, in columns. */
    private static final class Figures {
        static float draw(Surface surface, ChartModel model, Theme theme, float width, Display display) {
            float margin = display.dp(12);
            float name = margin + display.sp(NAME);
            float figure = name + display.dp(4) + display.sp(FIGURE);
            float bottom = figure + margin;
            surface.rect(0, 0, width, bottom, theme.background);
            String[][] figures = Texts.figures(model);
            float column = (width - 2 * margin) / figures.length;
            for (int i = 0; i < figures.length; i++) {
                float x = margin + i * column;
                surface.text(figures[i][0], x, name, Surface.Align.LEFT,
                        Fit.size(surface, figures[i][0], display.sp(NAME), false, column - display.dp(6)), false,
                        theme.mutedText);
                surface.text(figures[i][1], x, figure, Surface.Align.LEFT,
                        Fit.size(surface, figures[i][1], display.sp(FIGURE), true, column - display.dp(6)), true,
                        theme.text);
            }
            return bottom;
        }
    }
}
