package dev.lowpeak.core;

/** Text in the room that it has. */
final class Fit {
    private Fit() {}

    /** The size in pixels, or a smaller one with which the text is not wider than {@code width}. */
    static float size(Surface surface, String text, float size, boolean bold, float width) {
        float needed = surface.textWidth(text, size, bold);
        return needed <= width ? size : size * width / needed;
    }
}
