package dev.lowpeak.core;

/** How large things are: Android's DisplayMetrics.density and Configuration.fontScale. */
public final class Display {
    private final float density;
    private final float fontScale;

    /** Throws IllegalArgumentException unless both are positive. */
    public Display(float density, float fontScale) {
        this.density = (float) Require.positive("density", density);
        this.fontScale = (float) Require.positive("fontScale", fontScale);
    }

    /** Pixels of a length. */
    public float dp(float value) {
        return value * density;
    }

    /** Pixels of a size of text, which the user may have made larger. */
    public float sp(float value) {
        return value * density * fontScale;
    }
}
