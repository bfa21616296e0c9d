package dev.lowpeak.core;

/**
 * Colours, 0xAARRGGBB. Text has a contrast of at least 4.5 to the background, lines of data at least 3 (WCAG 2.1);
 * series also differ in width and dashes.
 */
public final class Theme {
    public final int background;
    public final int text;
    public final int mutedText;
    public final int grid;
    public final int axis;
    public final int rawLoss;
    public final int smoothLoss;
    public final int resident;
    public final int peak;
    public final int planned;
    public final int budget;

    private Theme(
            int background,
            int text,
            int mutedText,
            int grid,
            int axis,
            int rawLoss,
            int smoothLoss,
            int resident,
            int peak,
            int planned,
            int budget) {
        this.background = background;
        this.text = text;
        this.mutedText = mutedText;
        this.grid = grid;
        this.axis = axis;
        this.rawLoss = rawLoss;
        this.smoothLoss = smoothLoss;
        this.resident = resident;
        this.peak = peak;
        this.planned = planned;
        this.budget = budget;
    }

    public static Theme light() {
        return new Theme(0xFFFFFFFF, 0xFF1B1F24, 0xFF57606A, 0xFFE4E8EC, 0xFF8A939C,
                0xFF6C8CB8, 0xFF0B4FA8, 0xFF1A7F5A, 0xFF0B4FA8, 0xFF24292F, 0xFFB3261E);
    }

    public static Theme dark() {
        return new Theme(0xFF14181D, 0xFFE8ECF0, 0xFFA3ADB8, 0xFF2A3138, 0xFF6B7580,
                0xFF5F7FAF, 0xFF7FB8FF, 0xFF5CC79B, 0xFF7FB8FF, 0xFFF0F3F6, 0xFFFF8A80);
    }

    /** Of two opaque colours, from 1 (equal) to 21 (black and white): WCAG 2.1, 1.4.3. */
    public static double contrast(int first, int second) {
        double one = luminance(first) + 0.05;
        double other = luminance(second) + 0.05;
        return Math.max(one, other) / Math.min(one, other);
    }

    private static double luminance(int color) {
        return 0.2126 * linear(color >> 16 & 255) + 0.7152 * linear(color >> 8 & 255) + 0.0722 * linear(color & 255);
    }

    private static double linear(int channel) {
        double value = channel / 255.0;
        return value <= 0.04045 ? value / 12.92 : Math.pow((value + 0.055) / 1.055, 2.4);
    }
}
