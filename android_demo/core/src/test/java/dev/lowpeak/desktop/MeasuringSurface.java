package dev.lowpeak.desktop;

import dev.lowpeak.core.Stroke;
import dev.lowpeak.core.Surface;
import java.awt.geom.Rectangle2D;
import java.util.ArrayList;
import java.util.List;

/** Keeps where texts and plotted points are; widths are those of the pictures. */
final class MeasuringSurface implements Surface {
    private final ImageSurface measure = new ImageSurface(1, 1);
    private final int width;
    private final int height;
    private final List<String> texts = new ArrayList<>();
    private final List<Rectangle2D> boxes = new ArrayList<>();
    private final StringBuilder problems = new StringBuilder();

    MeasuringSurface(int width, int height) {
        this.width = width;
        this.height = height;
    }

    int width() {
        return width;
    }

    int height() {
        return height;
    }

    List<String> texts() {
        return texts;
    }

    /** Texts that meet or are cut off, lines that leave the surface or are no numbers; empty if there is none. */
    String problems() {
        return problems.toString();
    }

    @Override
    public void text(String text, float x, float baseline, Align align, float size, boolean bold, int color) {
        float wide = textWidth(text, size, bold);
        float left = align == Align.LEFT ? x : align == Align.CENTER ? x - wide / 2 : x - wide;
        // Capital letters reach to 0.75 of the size, tails 0.2 below.
        Rectangle2D box = new Rectangle2D.Float(left, baseline - 0.75f * size, wide, 0.95f * size);
        if (!new Rectangle2D.Float(0, 0, width, height).contains(box)) {
            problems.append(text).append(" is cut off; ");
        }
        for (int i = 0; i < boxes.size(); i++) {
            if (boxes.get(i).intersects(box)) {
                problems.append(texts.get(i)).append(" meets ").append(text).append("; ");
            }
        }
        texts.add(text);
        boxes.add(box);
    }

    @Override
    public float textWidth(String text, float size, boolean bold) {
        return measure.textWidth(text, size, bold);
    }

    @Override
    public void rect(float left, float top, float right, float bottom, int color) {
        point(left, top);
        point(right, bottom);
    }

    @Override
    public void roundRect(float left, float top, float right, float bottom, float radius, int color) {
        rect(left, top, right, bottom, color);
    }

    @Override
    public void line(float fromX, float fromY, float toX, float toY, Stroke stroke) {
        point(fromX, fromY);
        point(toX, toY);
    }

    @Override
    public void path(float[] points, int count, Stroke stroke) {
        for (int i = 0; i < count; i++) {
            point(points[2 * i], points[2 * i + 1]);
        }
    }

    @Override
    public void clipped(float left, float top, float right, float bottom, Runnable drawing) {
        drawing.run();
    }

    private void point(float x, float y) {
        if (!(x >= -0.5 && x <= width + 0.5 && y >= -0.5 && y <= height + 0.5)) {
            problems.append("(" + x + ", " + y + ") is outside; ");
        }
    }
}
