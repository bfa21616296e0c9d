package dev.lowpeak.core;

/** Figures under their names, side by side. */
final class Figures {
    private static final float FIGURE = 20;
    private static final float NAME = 12;

    private Figures() {}

    /** {@code figures}: name and figure each -> where they end below. */
    static float draw(Surface surface, String[][] figures, Theme theme, float width, Display display) {
        float margin = display.dp(12);
        float gap = display.dp(12);
        float room = width - 2 * margin - (figures.length - 1) * gap;
        // All of one size, smaller where they do not fit.
        float needed = 0;
        for (String[] each : figures) {
            needed += wide(surface, each, display, 1);
        }
        float scale = Math.min(1, room / needed);
        float between = gap + (room - scale * needed) / Math.max(1, figures.length - 1);
        float name = margin + display.sp(NAME);
        float figure = name + display.dp(4) + display.sp(FIGURE);
        float x = margin;
        for (String[] each : figures) {
            surface.text(each[0], x, name, Surface.Align.LEFT, scale * display.sp(NAME), false, theme.mutedText);
            surface.text(each[1], x, figure, Surface.Align.LEFT, scale * display.sp(FIGURE), true, theme.text);
            x += wide(surface, each, display, scale) + between;
        }
        return figure + margin;
    }

    private static float wide(Surface surface, String[] each, Display display, float scale) {
        return Math.max(surface.textWidth(each[0], scale * display.sp(NAME), false),
                surface.textWidth(each[1], scale * display.sp(FIGURE), true));
    }
}
