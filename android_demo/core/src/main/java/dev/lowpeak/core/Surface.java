package dev.lowpeak.core;

/**
 * What is drawn on: android.graphics.Canvas in the app, Java2D for pictures. Pixels from the left and the top; colours
 * are 0xAARRGGBB.
 */
public interface Surface {
    /** Where a text is beside its x. */
    enum Align { LEFT, CENTER, RIGHT }

    /** A filled rectangle. */
    void rect(float left, float top, float right, float bottom, int color);

    /** A filled rectangle with round corners. */
    void roundRect(float left, float top, float right, float bottom, float radius, int color);

    void line(float fromX, float fromY, float toX, float toY, Stroke stroke);

    /** Joined lines through {@code count} points x, y, x, y, ... */
    void path(float[] points, int count, Stroke stroke);

    /** {@code baseline}: y of the foot of its letters. */
    void text(String text, float x, float baseline, Align align, float size, boolean bold, int color);

    float textWidth(String text, float size, boolean bold);

    /** Draws with nothing outside of the rectangle. */
    void clipped(float left, float top, float right, float bottom, Runnable drawing);
}
