package dev.lowpeak.core;

/** How a line is drawn. Pixels. */
public final class Stroke {
    public final int color;
    public final float width;
    /** Length of dashes and of the gaps between them; 0: none. */
    public final float dash;

    private Stroke(int color, float width, float dash) {
        this.color = color;
        this.width = width;
        this.dash = dash;
    }

    public static Stroke solid(int color, float width) {
        return new Stroke(color, width, 0);
    }

    public static Stroke dashed(int color, float width, float dash) {
        return new Stroke(color, width, dash);
    }
}
