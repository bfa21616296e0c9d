package dev.lowpeak.core;

/** A chart's frame: title, legend, axes; and lines inside of it. */
final class Plot {
    private static final float TITLE = 15;
    private static final float LABEL = 12;

    private final Surface surface;
    private final Theme theme;
    private final Display display;
    private final float left;
    private final float top;
    private final float right;
    private final float bottom;
    private final ChartScale across;
    private final ChartScale upward;

    /** An entry of the legend. */
    static final class Entry {
        final String name;
        final Stroke stroke;

        Entry(String name, Stroke stroke) {
            this.name = name;
            this.stroke = stroke;
        }
    }

    /** The largest scale whose labels fit is chosen for either axis. {@code least}, {@code most}: of the values. */
    Plot(
            Surface surface,
            Theme theme,
            Display display,
            float width,
            float height,
            String title,
            Entry[] legend,
            long lastStep,
            double least,
            double most) {
        this.surface = surface;
        this.theme = theme;
        this.display = display;
        float margin = display.dp(12);
        surface.rect(0, 0, width, height, theme.background);
        float baseline = margin + display.sp(TITLE);
        surface.text(title, margin, baseline, Surface.Align.LEFT, display.sp(TITLE), true, theme.text);
        top = drawLegend(legend, margin, width - margin, baseline + display.sp(LABEL) + display.dp(8))
                + display.dp(6) + display.sp(LABEL) * 0.75f;
        // Step numbers and the axis' name stand below.
        bottom = height - margin - display.sp(LABEL) - display.dp(8);
        float perInterval = display.sp(LABEL) * 2.6f;
        upward = ChartScale.of(least, most, Math.max(1, (int) ((bottom - top) / perInterval)));
        left = margin + widest(upward) + display.dp(6);
        float stepLabel = labelWidth(Long.toString(lastStep));
        right = width - margin - stepLabel / 2;
        float perStepLabel = stepLabel + display.dp(28);
        across = ChartScale.ofSteps(lastStep, Math.max(1, (int) ((right - left) / perStepLabel)));
        drawAxes(height - margin);
    }

    void series(Series series, double scale, Stroke stroke) {
        float[] points = new float[2 * Math.max(1, series.size())];
        for (int i = 0; i < series.size(); i++) {
            points[2 * i] = x(series.step(i) + 1);
            points[2 * i + 1] = y(series.value(i) / scale);
        }
        if (series.size() == 1) {
            // A line of one point would not be seen.
            float radius = stroke.width * 1.5f;
            surface.roundRect(points[0] - radius, points[1] - radius, points[0] + radius, points[1] + radius, radius,
                    stroke.color);
            return;
        }
        surface.clipped(left, top - stroke.width, right, bottom + stroke.width,
                () -> surface.path(points, series.size(), stroke));
    }

    /** A line at one value, from one side to the other. */
    void level(double value, Stroke stroke) {
        surface.line(left, y(value), right, y(value), stroke);
    }

    private float drawLegend(Entry[] legend, float from, float to, float firstBaseline) {
        float sample = display.dp(18);
        float gap = display.dp(6);
        float x = from;
        float baseline = firstBaseline;
        for (Entry entry : legend) {
            float room = to - from - sample - gap;
            float size = Fit.size(surface, entry.name, display.sp(LABEL), false, room);
            float needed = sample + gap + surface.textWidth(entry.name, size, false);
            if (x > from && x + needed > to + 0.5f) {
                x = from;
                baseline += display.sp(LABEL) * 1.5f;
            }
            float middle = baseline - display.sp(LABEL) * 0.35f;
            surface.line(x, middle, x + sample, middle, entry.stroke);
            surface.text(entry.name, x + sample + gap, baseline, Surface.Align.LEFT, size, false, theme.text);
            x += needed + display.dp(16);
        }
        return baseline;
    }

    private void drawAxes(float footBaseline) {
        Stroke grid = Stroke.solid(theme.grid, display.dp(1));
        for (double tick : upward.ticks()) {
            surface.line(left, y(tick), right, y(tick), grid);
            label(upward.label(tick), left - display.dp(6), y(tick) + display.sp(LABEL) * 0.35f, Surface.Align.RIGHT);
        }
        Stroke axis = Stroke.solid(theme.axis, display.dp(1));
        surface.line(left, bottom, right, bottom, axis);
        float besideZero = left - labelWidth("0") / 2 - display.dp(6);
        label(Texts.AXIS_STEP, besideZero, footBaseline, Surface.Align.RIGHT);
        for (double tick : across.ticks()) {
            surface.line(x(tick), bottom, x(tick), bottom + display.dp(4), axis);
            label(across.label(tick), x(tick), footBaseline, Surface.Align.CENTER);
        }
    }

    private float x(double step) {
        return (float) (left + across.place(step) * (right - left));
    }

    private float y(double value) {
        return (float) (bottom - upward.place(value) * (bottom - top));
    }

    private float widest(ChartScale scale) {
        float most = labelWidth(Texts.AXIS_STEP) + labelWidth("0") / 2;
        for (double tick : scale.ticks()) {
            most = Math.max(most, labelWidth(scale.label(tick)));
        }
        return most;
    }

    private float labelWidth(String text) {
        return surface.textWidth(text, display.sp(LABEL), false);
    }

    private void label(String text, float x, float baseline, Surface.Align align) {
        surface.text(text, x, baseline, align, display.sp(LABEL), false, theme.mutedText);
    }
}
