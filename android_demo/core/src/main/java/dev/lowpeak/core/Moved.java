package dev.lowpeak.core;

/** A surface whose left top is elsewhere on another one. */
final class Moved implements Surface {
    private final Surface surface;
    private final float dx;
    private final float dy;

    Moved(Surface surface, float dx, float dy) {
        this.surface = surface;
        this.dx = dx;
        this.dy = dy;
    }

    @Override
    public void rect(float left, float top, float right, float bottom, int color) {
        surface.rect(left + dx, top + dy, right + dx, bottom + dy, color);
    }

    @Override
    public void roundRect(float left, float top, float right, float bottom, float radius, int color) {
        surface.roundRect(left + dx, top + dy, right + dx, bottom + dy, radius, color);
    }

    @Override
    public void line(float fromX, float fromY, float toX, float toY, Stroke stroke) {
        surface.line(fromX + dx, fromY + dy, toX + dx, toY + dy, stroke);
    }

    @Override
    public void path(float[] points, int count, Stroke stroke) {
        float[] moved = new float[2 * count];
        for (int i = 0; i < count; i++) {
            moved[2 * i] = points[2 * i] + dx;
            moved[2 * i + 1] = points[2 * i + 1] + dy;
        }
        surface.path(moved, count, stroke);
    }

    @Override
    public void text(String text, float x, float baseline, Align align, float size, boolean bold, int color) {
        surface.text(text, x + dx, baseline + dy, align, size, bold, color);
    }

    @Override
    public float textWidth(String text, float size, boolean bold) {
        return surface.textWidth(text, size, bold);
    }

    @Override
    public void clipped(float left, float top, float right, float bottom, Runnable drawing) {
        surface.clipped(left + dx, top + dy, right + dx, bottom + dy, drawing);
    }
}
